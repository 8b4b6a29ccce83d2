/**
 * The direct transport: HTTP/2 and gRPC written on sockets, without a library in between. It does for a call only what the call
 * needs, which is why it serves several times as many as grpc-js.
 */
import type { Socket } from 'node:net';
import { Deferred } from '@quorate/base';
import type { ServiceMethod } from '../service.ts';
import { splitPath } from '../service-table.ts';
import type { RpcTransport, ServeOptions } from '../transport.ts';
import { Connection, type ConnectionContext } from './connection.ts';
import { DeadlineWheel } from './deadline-wheel.ts';
import { Decompressor } from './decompressor.ts';
import { type H2Limits, h2Limits } from './limits.ts';
import { Linger } from './linger.ts';
import { ChunkPool } from './output.ts';
import type { Routes } from './request-head.ts';

/** Serves `methods` directly on sockets. */
export function serveH2(
  methods: readonly ServiceMethod[],
  options: ServeOptions,
  limits: H2Limits = h2Limits,
): RpcTransport {
  return new H2Transport(methods, options, limits);
}

class H2Transport implements RpcTransport, ConnectionContext {
  readonly options: ServeOptions;
  readonly limits: H2Limits;
  readonly routes: Routes;
  readonly wheel: DeadlineWheel;
  readonly decompressor: Decompressor;
  readonly pool: ChunkPool = new ChunkPool();
  readonly linger: Linger;
  private readonly connections = new Set<Connection>();
  private readonly drained = new Deferred<void>();
  private draining = false;
  /** Connections with something to write at the end of this turn. */
  private unflushed: Connection[] = [];
  private readonly flushAll: () => void;

  constructor(methods: readonly ServiceMethod[], options: ServeOptions, limits: H2Limits) {
    this.options = options;
    this.limits = limits;
    this.routes = routesOf(methods);
    this.wheel = new DeadlineWheel(options.clock);
    this.linger = new Linger(options.clock, options.lingers ?? never);
    this.decompressor = new Decompressor(options.clock, options.receiveBytesMax);
    this.flushAll = () => {
      const connections = this.unflushed;
      this.unflushed = [];
      for (const connection of connections) connection.flush();
    };
  }

  attach(socket: Socket, head: Buffer): void {
    if (this.draining) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this);
    this.connections.add(connection);
    connection.start(head);
  }

  async drain(limitMs: number): Promise<boolean> {
    this.draining = true;
    for (const connection of this.connections) connection.drain();
    if (this.connections.size === 0) return true;
    let inTime = true;
    const limit = this.options.clock.after(limitMs, () => {
      inTime = false;
      this.drained.resolve();
    });
    await this.drained.promise;
    limit.cancel();
    return inTime;
  }

  close(): void {
    this.draining = true;
    for (const connection of this.connections) connection.destroy();
    this.wheel.stop();
  }

  flushSoon(connection: Connection): void {
    if (this.unflushed.push(connection) === 1) queueMicrotask(this.flushAll);
  }

  gone(connection: Connection): void {
    this.connections.delete(connection);
    if (this.draining && this.connections.size === 0) this.drained.resolve();
  }
}

const never = (): boolean => false;

function routesOf(methods: readonly ServiceMethod[]): Routes {
  const services = new Set<string>();
  for (const { path } of methods) {
    const service = splitPath(path)?.service;
    if (service !== undefined) services.add(service);
  }
  return { methods: new Map(methods.map((method) => [method.path, method])), services };
}
