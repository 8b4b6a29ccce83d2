/**
 * Writers and watchers that follow a cluster whose members come and go. Every write has a key of its own and is tried once: what was
 * acknowledged must be there afterwards, and every watcher must have been told of it once, in order.
 */
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { services, WatchCreateRequest, WatchRequest, WatchResponse } from '@quorate/proto';
import type { KvdProcess } from './kvd-process.ts';
import { RawClient } from './raw-client.ts';

export interface Acked {
  readonly value: string;
  readonly revision: number;
}

/** Members to go to now. */
export type Members = () => readonly KvdProcess[];

const callLimitMs = 2_000;
const pauseMs = 10;

export class RoamingWriters {
  readonly acked: Map<string, Acked> = new Map();
  readonly #members: Members;
  readonly #clients = new Map<string, RawClient>();
  readonly #running: Promise<void>[];
  #isStopped = false;

  constructor(count: number, members: Members) {
    this.#members = members;
    this.#running = Array.from({ length: count }, (_, id) => this.#write(id));
  }

  /** Resolves when `count` more writes were acknowledged than now. */
  async more(count: number, limitMs = 30_000): Promise<void> {
    const goal = this.acked.size + count;
    const deadline = Date.now() + limitMs;
    while (this.acked.size < goal) {
      if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${count} writes`);
      await pause(pauseMs);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
    for (const client of this.#clients.values()) client.close();
  }

  async #write(id: number): Promise<void> {
    for (let n = 0; !this.#isStopped; n++) {
      const members = this.#members().filter((member) => member.running);
      const member = members[(id + n) % Math.max(members.length, 1)];
      const key = `w${id}-${String(n).padStart(7, '0')}`;
      const value = `v${id}-${n}`;
      try {
        if (member === undefined) throw new Error('nobody runs');
        const { header } = await this.#client(member.endpoint).put(key, value, callLimitMs);
        this.acked.set(key, { value, revision: header!.revision });
      } catch {
        // Unknown outcome: it may or may not be there. Let others run before the next try.
        await pause(pauseMs);
      }
    }
  }

  #client(endpoint: string): RawClient {
    const known = this.#clients.get(endpoint);
    if (known !== undefined) return known;
    const client = new RawClient(endpoint);
    this.#clients.set(endpoint, client);
    return client;
  }
}

/** One watch on everything, from the first revision on; goes on at another member when its stream ends. */
export class RoamingWatcher {
  /** Key and revision of every event, in the order of arrival. */
  readonly events: { readonly key: string; readonly revision: number }[] = [];
  readonly #members: Members;
  readonly #running: Promise<void>;
  #call: ClientDuplexStream<WatchRequest, WatchResponse> | undefined;
  #isStopped = false;
  #streams = 0;

  constructor(members: Members) {
    this.#members = members;
    this.#running = this.#run();
  }

  get lastRevision(): number {
    return this.events.at(-1)?.revision ?? 1;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#call?.cancel();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const members = this.#members().filter((member) => member.running);
      const member = members[this.#streams++ % Math.max(members.length, 1)];
      if (member !== undefined) await this.#stream(member.endpoint);
      await pause(pauseMs);
    }
  }

  #stream(endpoint: string): Promise<void> {
    const client = new Client(endpoint, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    const call = client.makeBidiStreamRequest(
      services.watch.methods.watch.path,
      (message: WatchRequest) => WatchRequest.encode(message),
      (bytes: Buffer) => WatchResponse.decode(bytes),
      new Metadata(),
    );
    this.#call = call;
    const all = Buffer.from([0]);
    const createRequest = WatchCreateRequest.create({ key: all, rangeEnd: all, startRevision: this.lastRevision + 1 });
    call.write(WatchRequest.create({ createRequest }));
    call.on('data', (response: WatchResponse) => {
      for (const { kv } of response.events) this.events.push({ key: kv!.key.toString(), revision: kv!.modRevision });
      if (response.canceled) call.cancel();
    });
    return new Promise((resolve) => {
      const end = (): void => {
        client.close();
        resolve();
      };
      call.on('error', end);
      call.on('end', end);
    });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
