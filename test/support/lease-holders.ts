/**
 * Clients that keep leases alive through members that do not lead, and note when: what must be known to say that a lease ended too
 * early or too late. Times are of `performance.now()`.
 */
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { LeaseKeepAliveRequest, LeaseKeepAliveResponse, services } from '@quorate/proto';
import type { KvdProcess } from './kvd-process.ts';
import { pause } from './storm.ts';

const { path } = services.lease.methods.leaseKeepAlive;
/** Between two looks at which leases are due. */
const lookMs = 50;

/** A lease as its holder knows it. */
export class HeldLease {
  readonly id: bigint;
  readonly ttlMs: number;
  readonly keys: readonly string[];
  /** When the last renewal that was granted had been sent: until a TTL after that it must live. */
  grantedMs: number;
  /** When a renewal was last sent, answered or not: it may count from anywhere after that. */
  sentMs: number;
  /** Until when its holder cares. */
  keepUntilMs: number = Number.POSITIVE_INFINITY;
  /** When it was seen to be gone. */
  goneMs: number = Number.POSITIVE_INFINITY;
  readonly problems: string[] = [];
  renewals = 0;

  constructor(id: bigint, ttlSeconds: number, keys: readonly string[], grantedMs: number) {
    this.id = id;
    this.ttlMs = ttlSeconds * 1_000;
    this.keys = keys;
    this.grantedMs = grantedMs;
    this.sentMs = grantedMs;
  }

  renewed(sentMs: number, ttlSeconds: number): void {
    if (ttlSeconds <= 0) {
      this.gone('a renewal was answered with 0');
      return;
    }
    if (ttlSeconds * 1_000 !== this.ttlMs) this.problems.push(`renewed for ${ttlSeconds} s`);
    if (this.goneMs < sentMs) this.problems.push(`renewed ${(sentMs - this.goneMs).toFixed(0)} ms after it was gone`);
    this.grantedMs = Math.max(this.grantedMs, sentMs);
    this.renewals++;
  }

  /** Somebody saw that it is gone. */
  gone(how: string): void {
    const nowMs = performance.now();
    if (this.goneMs < nowMs) return;
    this.goneMs = nowMs;
    const earlyMs = this.grantedMs + this.ttlMs - nowMs;
    if (earlyMs > 0) this.problems.push(`gone ${earlyMs.toFixed(0)} ms too early: ${how}`);
  }
}

/** One client with some leases: a stream of renewals to one member at a time. */
export class LeaseHolder {
  readonly #leases: readonly HeldLease[];
  readonly #pick: () => KvdProcess;
  readonly #running: Promise<void>;
  #isEnding = false;

  /** `pick` says which member to go to, each time anew. */
  constructor(leases: readonly HeldLease[], pick: () => KvdProcess) {
    this.#leases = leases;
    this.#pick = pick;
    this.#running = this.#run();
  }

  end(): Promise<void> {
    this.#isEnding = true;
    return this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      const client = new Client(this.#pick().endpoint, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
      });
      const call = client.makeBidiStreamRequest(
        path,
        (request: LeaseKeepAliveRequest) => LeaseKeepAliveRequest.encode(request),
        (bytes: Buffer) => LeaseKeepAliveResponse.decode(bytes),
        new Metadata(),
      );
      await this.#serve(call);
      client.close();
    }
  }

  /** Until the stream ends or an answer takes too long. */
  async #serve(call: ClientDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>): Promise<void> {
    const asked = new Map<HeldLease, number>();
    let isOver = false;
    call.on('data', ({ id, ttl }: LeaseKeepAliveResponse) => {
      const lease = this.#leases.find((one) => one.id === id)!;
      lease.renewed(asked.get(lease)!, ttl);
      asked.delete(lease);
    });
    call.on('error', () => (isOver = true));
    call.on('end', () => (isOver = true));
    while (!isOver && !this.#isEnding) {
      const nowMs = performance.now();
      for (const lease of this.#leases) {
        const sentMs = asked.get(lease);
        if (sentMs !== undefined) isOver ||= nowMs - sentMs > lease.ttlMs / 2;
        else if (nowMs < lease.keepUntilMs && nowMs - lease.grantedMs > lease.ttlMs / 4) {
          asked.set(lease, nowMs);
          lease.sentMs = nowMs;
          call.write(LeaseKeepAliveRequest.create({ id: lease.id }));
        }
      }
      await pause(lookMs);
    }
    call.cancel();
  }
}
