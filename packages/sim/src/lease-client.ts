/**
 * A client of a simulation with leases: grants, hangs keys on them, renews them through any member, revokes some and gives others
 * up. A lease must not end before its time to live has passed since the last renewal that was granted was sent, its keys end
 * together, and in the end none is left.
 */
import type { LeaseId, Random } from '@quorate/base';
import type { Change } from '@quorate/mvcc';
import {
  KvError,
  LeaseGrantRequest,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  PutRequest,
} from '@quorate/proto';
import type { ClientStream, Reply, ServerCall, ServerStream } from '@quorate/rpc';
import type { Member } from '@quorate/server';
import type { Scheduler } from './scheduler.ts';
import type { SimMember } from './sim-member.ts';
import type { Truth } from './truth.ts';

export interface LeaseClientOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly members: readonly SimMember[];
  readonly truth: Truth;
}

interface Held {
  readonly id: LeaseId;
  readonly ttlMs: number;
  /** When the last renewal that was granted was sent. */
  grantedMs: number;
  /** When a renewal was last sent. */
  sentMs: number;
  isRevoked: boolean;
  isGivenUp: boolean;
  /** Keys that were put and answered for. */
  readonly keys: string[];
}

const heldMax = 3;
const ttlMin = 2;
const ttlSpread = 4;
const beatMs = 500;

export class LeaseClient {
  readonly #options: LeaseClientOptions;
  readonly #leases: Held[] = [];
  #grants = 0;
  #isCalm = false;
  #isOver = false;

  constructor(options: LeaseClientOptions) {
    this.#options = options;
    options.truth.onRecorded((changes) => this.#recorded(changes));
  }

  /** Leases it was granted. */
  get count(): number {
    return this.#leases.length;
  }

  start(): void {
    this.#rest();
  }

  /** Renews what it holds from now on, and nothing else. */
  calm(): void {
    this.#isCalm = true;
  }

  stop(): void {
    this.#isOver = true;
  }

  /** Complaints about what became of the keys, once all leases are gone. */
  check(): string[] {
    const { truth } = this.#options;
    return this.#leases.flatMap((lease) => {
      const ends = lease.keys.map((key) => truth.deletedAt(key));
      if (ends.includes(undefined)) return [`lease ${lease.id} is gone, its keys are not`];
      if (new Set(ends).size > 1) return [`keys of lease ${lease.id} ended at revisions ${ends.join(', ')}`];
      return [];
    });
  }

  #rest(): void {
    const { scheduler, random } = this.#options;
    scheduler.after(random.below(2 * beatMs), () => this.#beat());
  }

  #beat(): void {
    if (this.#isOver) return;
    const { random, scheduler } = this.#options;
    const held = this.#leases.filter((lease) => !lease.isGivenUp);
    if (held.length < heldMax && !this.#isCalm) this.#grant();
    for (const lease of held) {
      const dice = random.below(60);
      if (dice === 0 && !this.#isCalm) this.#revoke(lease);
      if (dice <= 2 && !this.#isCalm) lease.isGivenUp = true;
      else if (scheduler.nowMs - lease.sentMs > lease.ttlMs / 3) this.#renew(lease);
    }
    this.#rest();
  }

  #member(): Member | undefined {
    const { members, random } = this.#options;
    return members[random.below(members.length)]!.running;
  }

  #grant(): void {
    const { random, scheduler } = this.#options;
    // One for whatever becomes of this grant: an id is never asked for twice.
    const id = BigInt(++this.#grants);
    const ttl = ttlMin + random.below(ttlSpread);
    const sentMs = scheduler.nowMs;
    const granted = (): void => {
      const lease = { id, ttlMs: ttl * 1_000, grantedMs: sentMs, sentMs, isRevoked: false, isGivenUp: false, keys: [] };
      this.#leases.push(lease);
      for (const name of ['a', 'b']) this.#attach(lease, `l${id}${name}`);
    };
    this.#member()?.leases.grant(LeaseGrantRequest.create({ id, ttl }), replyOf(granted));
  }

  #attach(lease: Held, key: string): void {
    const put = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(key), lease: lease.id });
    const failed = (error: unknown): void => {
      if (error instanceof KvError && error.code === 'leaseNotFound') this.#gone(lease, 'a put found it gone');
    };
    this.#member()?.kv.put(
      put,
      replyOf(() => lease.keys.push(key), failed),
    );
  }

  #revoke(lease: Held): void {
    lease.isRevoked = true;
    this.#member()?.leases.revoke(
      LeaseRevokeRequest.create({ id: lease.id }),
      replyOf(() => {}),
    );
  }

  /** On a stream of its own. */
  #renew(lease: Held): void {
    const sentMs = this.#options.scheduler.nowMs;
    lease.sentMs = sentMs;
    let take: (request: LeaseKeepAliveRequest) => void = () => {};
    const requests: ClientStream<LeaseKeepAliveRequest> = {
      onMessage: (fn) => (take = fn),
      onEnd: () => {},
      pause: () => {},
      resume: () => {},
    };
    const stream = {
      send: ({ ttl }: LeaseKeepAliveResponse) => {
        if (ttl > 0) this.#renewed(lease, sentMs);
        else this.#gone(lease, 'a renewal was answered with 0');
        return true;
      },
      fail: () => {},
      onDrain: () => {},
    } as unknown as ServerStream<LeaseKeepAliveResponse>;
    this.#member()?.leases.keepAlive(requests, { cancelled: false } as ServerCall, stream);
    take({ id: lease.id });
  }

  #renewed(lease: Held, sentMs: number): void {
    const { truth } = this.#options;
    lease.grantedMs = Math.max(lease.grantedMs, sentMs);
    const ends = lease.keys.map((key) => truth.appliedMs(truth.deletedAt(key) ?? 0) ?? Number.POSITIVE_INFINITY);
    const earliestMs = lease.isRevoked ? sentMs : sentMs + lease.ttlMs;
    if (Math.min(...ends) < earliestMs) this.#complain(lease, `was renewed at ${sentMs} although its keys are gone`);
  }

  #gone(lease: Held, how: string): void {
    lease.isGivenUp = true;
    if (lease.isRevoked || this.#options.scheduler.nowMs >= lease.grantedMs + lease.ttlMs) return;
    this.#complain(
      lease,
      `ended ${lease.grantedMs + lease.ttlMs - this.#options.scheduler.nowMs} ms too early: ${how}`,
    );
  }

  /** The end of a lease shows in its keys. */
  #recorded(changes: readonly Change[]): void {
    for (const { type, key, modRevision } of changes) {
      if (type !== 'delete' || !key.startsWith('l')) continue;
      const lease = this.#leases.find(({ id }) => key === `l${id}a` || key === `l${id}b`);
      if (lease !== undefined) this.#gone(lease, `${key} ended at revision ${modRevision}`);
    }
  }

  #complain({ id, grantedMs, ttlMs }: Held, text: string): void {
    this.#options.scheduler.fail(new Error(`lease ${id} (granted at ${grantedMs} for ${ttlMs} ms) ${text}`));
  }
}

function replyOf(ok: () => void, fail: (error: unknown) => void = () => {}): Reply<never> {
  return { ok, encoded: ok, pieces: ok, fail };
}
