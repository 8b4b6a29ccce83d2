/** What the conformance tests share: a server with handlers for every kind of call, and connections to it. Not exported. */
import type { ConnectionOptions } from 'node:tls';
import {
  PutResponse,
  type RangeResponse,
  type SnapshotResponse,
  services,
  type WatchRequest,
  type WatchResponse,
} from '@quorate/proto';
import type { TlsSettings } from '@quorate/tls';
import { expect } from 'vitest';
import type { ClientStream, Reply, ServerCall, ServerStream } from '../../service.ts';
import { serviceHandlers } from '../../service-table.ts';
import { Served } from '../../testing/served.ts';
import type { ServeOptions, ServeRpc } from '../../transport.ts';
import { serveH2 } from '../h2-transport.ts';
import { type H2Limits, h2Limits } from '../limits.ts';
import { RawClient } from './raw-client.ts';

/** Calls that reached a handler and were not answered by it. */
export interface Held {
  readonly call: ServerCall;
  readonly reply: Reply<RangeResponse>;
}

export interface HeldWatch {
  readonly call: ServerCall;
  readonly stream: ServerStream<WatchResponse>;
  readonly requests: ClientStream<WatchRequest>;
}

export const rangePath: string = services.kv.methods.range.path;
export const watchPath: string = services.watch.methods.watch.path;
export const snapshotPath: string = services.maintenance.methods.snapshot.path;

export class Probe {
  readonly served: Served;
  /** Puts that were answered. */
  puts = 0;
  /** Ranges are held here until a test answers them. */
  readonly held: Held[] = [];
  /** Watches that have not ended. */
  watches: HeldWatch[] = [];
  /** Watches pause as soon as they begin. */
  pauseWatches = false;
  /** Messages that came on watches. */
  readonly watched: WatchRequest[] = [];
  readonly snapshots: ServerStream<SnapshotResponse>[] = [];
  readonly #clients: RawClient[] = [];

  /**
   * Put answers at once with the request's key, Range never, Watch takes messages and ends when the client does, Snapshot is
   * handed to the test.
   */
  static async open(
    options: Partial<ServeOptions> = {},
    limits: Partial<H2Limits> = {},
    tls?: TlsSettings,
  ): Promise<Probe> {
    const methods = [
      ...serviceHandlers(services.kv, {
        put: (request, _call, reply) => {
          probe.puts++;
          const kv = {
            key: request.key,
            value: request.value,
            createRevision: 0,
            modRevision: 0,
            version: 0,
            lease: 0n,
          };
          reply.ok(PutResponse.create({ prevKv: kv }));
        },
        range: (_request, call, reply) => void probe.held.push({ call, reply }),
      }),
      ...serviceHandlers(services.watch, {
        watch: (requests, call, stream) => {
          const held = { call, stream, requests };
          probe.watches.push(held);
          if (probe.pauseWatches) requests.pause();
          requests.onMessage((request) => probe.watched.push(request));
          requests.onEnd(() => {
            probe.watches = probe.watches.filter((other) => other !== held);
            stream.end();
          });
        },
      }),
      ...serviceHandlers(services.maintenance, {
        snapshot: (_request, _call, stream) => void probe.snapshots.push(stream),
      }),
    ];
    const serve: ServeRpc = (served, all) => serveH2(served, all, { ...h2Limits, ...limits });
    const probe: Probe = new Probe(await Served.open(methods, options, serve, tls));
    return probe;
  }

  private constructor(served: Served) {
    this.served = served;
  }

  /** A connection on which nothing was said; over TLS with `tls`. */
  async connect(tls?: ConnectionOptions): Promise<RawClient> {
    const client = await RawClient.connect(this.served.port, tls);
    this.#clients.push(client);
    return client;
  }

  /** A connection that is ready. */
  async client(settings: readonly (readonly [number, number])[] = []): Promise<RawClient> {
    const client = await RawClient.open(this.served.port, settings);
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.served.close();
  }
}

/** The connection is ended with `code`; others live. */
export async function expectConnectionError(probe: Probe, client: RawClient, code: number): Promise<void> {
  expect(await client.goAwayCode()).toBe(code);
  await (await probe.client()).put(1);
}

/** The stream is reset with `code`; the connection lives, its tables and windows intact. */
export async function expectStreamError(client: RawClient, streamId: number, code: number): Promise<void> {
  expect(await client.resetCode(streamId)).toBe(code);
  await client.put(1_001);
}
