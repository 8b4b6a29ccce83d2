/**
 * The leases of a member. Which leases there are, their times to live and checkpoints are replicated: changed only by entries of
 * the log, staged into the same batch as everything else an entry does, loaded at start. Which keys hang on them is derived from
 * the keys' newest versions, which the store tells when it opens and on every change.
 *
 * Time is counted by one member, the leader, called the primary; nothing that is replicated depends on its clock. A row of the
 * lease bucket is the id, 8 bytes big endian, to an internalpb.LeaseRecord.
 *
 * A checkpoint says how much of a lease was left when it was taken. All members begin to count down from there by their own
 * clocks when they apply it, and a renewal takes it back through the log before it is answered; so whoever comes to lead goes on
 * where the lease stands, and never ends it early.
 */
import { type Backend, buckets } from '@quorate/backend';
import {
  type Clock,
  CorruptionError,
  formatId,
  invariant,
  type Key,
  keyToBytes,
  type LeaseId,
  type Meter,
  noLease,
} from '@quorate/base';
import { DecodeError, KvError, LeaseRecord } from '@quorate/proto';
import { ExpiryQueue, type Queued } from './expiry-queue.ts';
import { type LeaseMetrics, leaseMetrics } from './metrics.ts';
import {
  checkpointAfterMs,
  checkpointAgainMs,
  checkpointTtlMin,
  leaseTtlMax,
  promotedPerSecond,
  type Renewal,
} from './rules.ts';

export interface LessorOptions {
  readonly backend: Backend;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly meter: Meter;
}

interface Lease extends Queued {
  readonly id: LeaseId;
  /** Seconds. */
  readonly ttl: number;
  /** Seconds left at the last checkpoint; 0 when there is none. */
  remainingTtl: number;
  /** When this member learned `remainingTtl`. */
  checkpointedAtMs: number;
  /** When this primary proposed a checkpoint that may still stand in the log; undefined when there is none. */
  proposedMs: number | undefined;
  /** When it ends; Infinity where nobody counts. `dueMs` is when its end is to be proposed (again). */
  endsMs: number;
  readonly keys: Set<Key>;
  /** Told when it is gone or runs anew, or when this member stops to count. */
  readonly waiting: Set<() => void>;
}

/** Rows read in one go at start. */
const restoreChunk = 10_000;

export class Lessor {
  readonly #backend: Backend;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #leaseOfKey = new Map<Key, Lease>();
  readonly #queue = new ExpiryQueue<Lease>();
  readonly #metrics: LeaseMetrics;
  /** Milliseconds a promotion adds; undefined while this member is not the primary. */
  #extendMs: number | undefined;

  private constructor({ backend, clock, meter }: LessorOptions) {
    this.#backend = backend;
    this.#clock = clock;
    this.#metrics = leaseMetrics(meter);
  }

  /** Reads the leases `backend` holds; their keys come by {@link attach}. Throws CorruptionError. */
  static open(options: LessorOptions): Lessor {
    const lessor = new Lessor(options);
    let from: Key | undefined = '';
    while (from !== undefined) {
      const rows = options.backend.range(buckets.lease, { from, limit: restoreChunk });
      for (const { key, value } of rows) lessor.#restore(key, value);
      from = rows.length === restoreChunk ? `${rows.at(-1)!.key}\0` : undefined;
    }
    return lessor;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** Whether this member counts the time. */
  get isPrimary(): boolean {
    return this.#extendMs !== undefined;
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  // What the log says.

  /** Adds a lease of `ttl` seconds. Throws KvError leaseNotFound (for no id), leaseTtlTooLarge, leaseExist. */
  grant(id: LeaseId, ttl: number): void {
    if (id === noLease) throw new KvError('leaseNotFound');
    if (ttl > leaseTtlMax) throw new KvError('leaseTtlTooLarge');
    if (this.#leases.has(id)) throw new KvError('leaseExist');
    const lease = this.#add(id, ttl, 0);
    this.#store(lease);
    this.#metrics.granted.add();
    this.#metrics.ttl.observe(ttl);
    if (this.isPrimary) this.#startFresh(lease);
  }

  /** Removes a lease whose keys were deleted before. Throws KvError leaseNotFound. */
  revoke(id: LeaseId): void {
    const lease = this.#mustHave(id);
    invariant(lease.keys.size === 0, 'lease revoked before its keys', { id: formatId(id), keys: lease.keys.size });
    this.#leases.delete(id);
    this.#queue.delete(lease);
    this.#backend.remove(buckets.lease, rowKeyOf(id));
    this.#metrics.revoked.add();
    tell(lease);
  }

  /** Notes that `remainingTtl` seconds are left, or, with 0, that the lease was renewed. A lease that is gone is passed over. */
  checkpoint(id: LeaseId, remainingTtl: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.remainingTtl = Math.min(Math.max(remainingTtl, 0), lease.ttl);
    lease.checkpointedAtMs = this.#clock.nowMs();
    const isOwn = lease.proposedMs !== undefined;
    lease.proposedMs = undefined;
    this.#store(lease);
    if (!this.isPrimary) return;
    if (lease.remainingTtl === 0) {
      this.#startFresh(lease);
      tell(lease);
    } else if (!isOwn) {
      // What the leader before knew, and this one promoted without it. An own checkpoint may be behind a renewal under way.
      this.#endAt(lease, Math.min(lease.endsMs, this.#promotedEnd(lease)));
    }
  }

  // What hangs on them.

  /** The lease of a key; 0n for none. */
  leaseOf(key: Key): LeaseId {
    return this.#leaseOfKey.get(key)?.id ?? noLease;
  }

  /** Moves a key to a lease. The lease exists: what lets a key name it was checked before. Throws FatalError. */
  attach(id: LeaseId, key: Key): void {
    const lease = this.#leases.get(id);
    invariant(lease !== undefined, 'a key names a lease that does not exist', { lease: formatId(id) });
    this.#leaseOfKey.get(key)?.keys.delete(key);
    lease.keys.add(key);
    this.#leaseOfKey.set(key, lease);
  }

  /** Fine when the key does not hang on the lease, or there is no such lease. */
  detach(id: LeaseId, key: Key): void {
    if (this.#leaseOfKey.get(key)?.id !== id) return;
    this.#leaseOfKey.get(key)!.keys.delete(key);
    this.#leaseOfKey.delete(key);
  }

  /** The keys of a lease in byte order. Throws KvError leaseNotFound. */
  keysOf(id: LeaseId): Key[] {
    return [...this.#mustHave(id).keys].sort();
  }

  // What is left of them.

  /** Seconds it was granted for. Throws KvError leaseNotFound. */
  ttlOf(id: LeaseId): number {
    return this.#mustHave(id).ttl;
  }

  /** Whole seconds until it ends, from 0 to what it was granted; counted on the primary only. */
  remainingOf(id: LeaseId): number {
    const lease = this.#mustHave(id);
    const left = Math.floor((lease.endsMs - this.#clock.nowMs()) / 1000);
    return Math.min(lease.ttl, Math.max(left, 0));
  }

  /** All ids, those that end first in front; where nobody counts, those with the shortest time to live. */
  list(): LeaseId[] {
    const order = (a: Lease, b: Lease): number => compare(a.endsMs, b.endsMs) || a.ttl - b.ttl || compare(a.id, b.id);
    return [...this.#leases.values()].sort(order).map((lease) => lease.id);
  }

  // The primary.

  /** Begins to count: every lease has what it has left, and `extendMs` for the time that nobody could renew it. */
  promote(extendMs: number): void {
    this.#extendMs = extendMs;
    const leases = [...this.#leases.values()];
    for (const lease of leases) lease.endsMs = this.#promotedEnd(lease);
    leases.sort((a, b) => a.endsMs - b.endsMs);
    // Those that would all end at once end one window after the other, as fast as they can be revoked.
    for (const [i, lease] of leases.entries()) {
      const before = leases[i - promotedPerSecond];
      const endsMs = before === undefined ? lease.endsMs : Math.max(lease.endsMs, before.endsMs + 1_000);
      this.#endAt(lease, endsMs);
    }
  }

  /** Stops to count. Whoever waits for a lease to end is told. */
  demote(): void {
    this.#extendMs = undefined;
    this.#queue.clear();
    for (const lease of this.#leases.values()) {
      lease.endsMs = Number.POSITIVE_INFINITY;
      lease.proposedMs = undefined;
      tell(lease);
    }
  }

  /** Lets a lease run anew, if that can be answered now. */
  renew(id: LeaseId): Renewal {
    if (!this.isPrimary) return { is: 'notPrimary' };
    const lease = this.#leases.get(id);
    if (lease === undefined) return { is: 'unknown' };
    const nowMs = this.#clock.nowMs();
    if (lease.endsMs <= nowMs) return { is: 'expired' };
    // Even when a checkpoint must be taken back before this counts: its end must not be proposed meanwhile.
    this.#endAt(lease, nowMs + lease.ttl * 1000);
    const isCheckpointed = lease.remainingTtl > 0 || lease.proposedMs !== undefined;
    if (isCheckpointed) return { is: 'checkpointed' };
    this.#metrics.renewed.add();
    return { is: 'renewed', ttl: lease.ttl };
  }

  /**
   * Calls `fn` once when the lease is gone or runs anew, or when this member stops to count; at once when it is gone or nobody
   * counts. Returns how to forget it.
   */
  whenSettled(id: LeaseId, fn: () => void): () => void {
    const lease = this.#leases.get(id);
    if (lease === undefined || !this.isPrimary) {
      fn();
      return () => {};
    }
    lease.waiting.add(fn);
    return () => lease.waiting.delete(fn);
  }

  /** Whether any end is to be proposed now. */
  get hasDue(): boolean {
    const { first } = this.#queue;
    return first !== undefined && first.dueMs <= this.#clock.nowMs();
  }

  /** Up to `max` leases whose time is over, the longest over first; each is given again after `againMs` while it is not gone. */
  takeDue(max: number, againMs: number): LeaseId[] {
    const nowMs = this.#clock.nowMs();
    const due: LeaseId[] = [];
    while (due.length < max && this.#queue.first !== undefined && this.#queue.first.dueMs <= nowMs) {
      const lease = this.#queue.first;
      due.push(lease.id);
      this.#queue.set(lease, nowMs + Math.max(againMs, 1));
    }
    return due;
  }

  /** Up to `max` long leases whose checkpoint is missing or old, with the seconds they have left; they count as proposed. */
  takeCheckpoints(max: number): { readonly id: LeaseId; readonly remainingTTL: number }[] {
    const nowMs = this.#clock.nowMs();
    const taken: { id: LeaseId; remainingTTL: number }[] = [];
    if (!this.isPrimary) return taken;
    for (const lease of this.#leases.values()) {
      if (taken.length === max) break;
      const leftMs = lease.endsMs - nowMs;
      if (lease.ttl <= checkpointTtlMin || leftMs <= 0) continue;
      if (lease.proposedMs !== undefined && nowMs - lease.proposedMs < checkpointAgainMs) continue;
      const isDue =
        lease.remainingTtl === 0
          ? lease.ttl * 1000 - leftMs >= checkpointAfterMs
          : nowMs - lease.checkpointedAtMs >= checkpointAgainMs;
      if (!isDue) continue;
      lease.proposedMs = nowMs;
      taken.push({ id: lease.id, remainingTTL: Math.ceil(leftMs / 1000) });
    }
    return taken;
  }

  #startFresh(lease: Lease): void {
    this.#endAt(lease, this.#clock.nowMs() + lease.ttl * 1000);
  }

  #endAt(lease: Lease, endsMs: number): void {
    lease.endsMs = endsMs;
    this.#queue.set(lease, endsMs);
  }

  /** When a lease ends if counting begins now. */
  #promotedEnd(lease: Lease): number {
    const nowMs = this.#clock.nowMs();
    const countedMs = lease.remainingTtl === 0 ? 0 : nowMs - lease.checkpointedAtMs;
    const leftMs = (lease.remainingTtl === 0 ? lease.ttl : lease.remainingTtl) * 1000 - countedMs;
    return nowMs + Math.max(leftMs, 0) + (this.#extendMs ?? 0);
  }

  #restore(key: Key, value: Buffer): void {
    try {
      const { id, ttl, remainingTTL } = LeaseRecord.decode(value);
      if (rowKeyOf(id) !== key) throw new CorruptionError('backend', 'lease row with another id', { id: formatId(id) });
      this.#add(id, ttl, remainingTTL);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const id = keyToBytes(key).toString('hex');
      throw new CorruptionError('backend', 'not a lease', { id, reason: error.message });
    }
  }

  #add(id: LeaseId, ttl: number, remainingTtl: number): Lease {
    const lease: Lease = {
      id,
      ttl,
      remainingTtl,
      checkpointedAtMs: this.#clock.nowMs(),
      proposedMs: undefined,
      endsMs: Number.POSITIVE_INFINITY,
      keys: new Set(),
      waiting: new Set(),
      dueMs: 0,
      place: -1,
    };
    this.#leases.set(id, lease);
    return lease;
  }

  #store({ id, ttl, remainingTtl }: Lease): void {
    const record = LeaseRecord.create({ id, ttl, remainingTTL: remainingTtl });
    this.#backend.put(buckets.lease, rowKeyOf(id), LeaseRecord.encode(record));
  }

  #mustHave(id: LeaseId): Lease {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new KvError('leaseNotFound');
    return lease;
  }
}

function tell(lease: Lease): void {
  const waiting = [...lease.waiting];
  lease.waiting.clear();
  for (const fn of waiting) fn();
}

function rowKeyOf(id: LeaseId): Key {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(id);
  return bytes.toString('latin1');
}

function compare<T extends number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
