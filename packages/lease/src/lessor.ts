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
 *
 * To begin and to cease to count costs the same for one lease as for a million: it begins a new tenure, and a lease is counted in
 * when it is next asked about, or by and by. Until then its end is proposed by nobody.
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
import { EndSpread } from './end-spread.ts';
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
  /** The tenure in which it was counted in; what `endsMs`, `dueMs` and `proposedMs` say, and its place, are of that one alone. */
  tenure: number;
  /** When it ends. `dueMs` is when its end is to be proposed (again). */
  endsMs: number;
  readonly keys: Set<Key>;
}

/** Rows read in one go at start. */
const restoreChunk = 10_000;

export class Lessor {
  readonly #backend: Backend;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #leaseOfKey = new Map<Key, Lease>();
  /** Told when a lease is gone or runs anew, or when this member stops to count. */
  readonly #waiting = new Map<LeaseId, Set<() => void>>();
  readonly #metrics: LeaseMetrics;
  /** Grows with every promotion and demotion. */
  #tenure = 0;
  /** Of those that are counted in. */
  #queue = new ExpiryQueue<Lease>();
  /** The last promotion; undefined while this member is not the primary. */
  #promotion: { readonly atMs: number; readonly extendMs: number } | undefined;
  /** While leases are left to be counted in: where that has got to, and where their ends go. */
  #countingIn: { readonly left: Iterator<Lease>; readonly spread: EndSpread } | undefined;

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
    return this.#promotion !== undefined;
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
    if (this.#isCounted(lease)) this.#queue.delete(lease);
    this.#backend.remove(buckets.lease, rowKeyOf(id));
    this.#metrics.revoked.add();
    this.#tell(id);
  }

  /** Notes that `remainingTtl` seconds are left, or, with 0, that the lease was renewed. A lease that is gone is passed over. */
  checkpoint(id: LeaseId, remainingTtl: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.remainingTtl = Math.min(Math.max(remainingTtl, 0), lease.ttl);
    lease.checkpointedAtMs = this.#clock.nowMs();
    const isCounted = this.#isCounted(lease);
    const isOwn = isCounted && lease.proposedMs !== undefined;
    lease.proposedMs = undefined;
    this.#store(lease);
    if (!this.isPrimary) return;
    if (lease.remainingTtl === 0) {
      this.#startFresh(lease);
      this.#tell(id);
    } else if (!isCounted) {
      this.#countIn(lease);
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
    const left = Math.floor((this.#endOf(lease) - this.#clock.nowMs()) / 1000);
    return Math.min(lease.ttl, Math.max(left, 0));
  }

  /** All ids, those that end first in front; where nobody counts, those with the shortest time to live. */
  list(): LeaseId[] {
    this.countMore(Number.POSITIVE_INFINITY);
    const byEnd = (a: Lease, b: Lease): number => (this.isPrimary ? compare(a.endsMs, b.endsMs) : 0);
    const order = (a: Lease, b: Lease): number => byEnd(a, b) || a.ttl - b.ttl || compare(a.id, b.id);
    return [...this.#leases.values()].sort(order).map((lease) => lease.id);
  }

  // The primary.

  /**
   * Begins to count: every lease has what it has left, and `extendMs` for the time that nobody could renew it. Those that would all
   * end at once end one second after the other, as fast as they can be revoked. {@link countMore} is to be called until it is done.
   */
  promote(extendMs: number): void {
    this.#beginTenure();
    this.#promotion = { atMs: this.#clock.nowMs(), extendMs };
    this.#countingIn = { left: this.#leases.values(), spread: new EndSpread(promotedPerSecond) };
  }

  /** Counts in up to `max` leases after a promotion: no other's end is ever due. True while there are more. */
  countMore(max: number): boolean {
    if (this.#countingIn === undefined) return false;
    for (let i = 0; i < max; i++) {
      const next = this.#countingIn.left.next();
      if (next.done === true) {
        this.#countingIn = undefined;
        return false;
      }
      if (!this.#isCounted(next.value)) this.#countIn(next.value);
    }
    return true;
  }

  /** Stops to count. Whoever waits for a lease to end is told. */
  demote(): void {
    this.#beginTenure();
    this.#promotion = undefined;
    this.#countingIn = undefined;
    for (const id of [...this.#waiting.keys()]) this.#tell(id);
  }

  /** Lets a lease run anew, if that can be answered now. */
  renew(id: LeaseId): Renewal {
    if (!this.isPrimary) return { is: 'notPrimary' };
    const lease = this.#leases.get(id);
    if (lease === undefined) return { is: 'unknown' };
    const nowMs = this.#clock.nowMs();
    if (this.#endOf(lease) <= nowMs) return { is: 'expired' };
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
    if (!this.#leases.has(id) || !this.isPrimary) {
      fn();
      return () => {};
    }
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting);
    waiting.add(fn);
    return () => {
      waiting.delete(fn);
      if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
    };
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
      if (!this.#isCounted(lease)) continue;
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

  #beginTenure(): void {
    this.#tenure++;
    this.#queue = new ExpiryQueue();
  }

  /** Whether this primary knows when it ends. */
  #isCounted(lease: Lease): boolean {
    return this.isPrimary && lease.tenure === this.#tenure;
  }

  #countIn(lease: Lease): void {
    const endsMs = this.#promotedEnd(lease);
    this.#endAt(lease, this.#countingIn?.spread.place(endsMs) ?? endsMs);
  }

  /** When it ends; Infinity where nobody counts. */
  #endOf(lease: Lease): number {
    if (!this.isPrimary) return Number.POSITIVE_INFINITY;
    if (!this.#isCounted(lease)) this.#countIn(lease);
    return lease.endsMs;
  }

  #startFresh(lease: Lease): void {
    this.#endAt(lease, this.#clock.nowMs() + lease.ttl * 1000);
  }

  #endAt(lease: Lease, endsMs: number): void {
    if (!this.#isCounted(lease)) {
      lease.tenure = this.#tenure;
      lease.proposedMs = undefined;
      lease.place = -1;
    }
    lease.endsMs = endsMs;
    this.#queue.set(lease, endsMs);
  }

  /** When a lease ends whose time goes on from the promotion, or from a checkpoint. */
  #promotedEnd(lease: Lease): number {
    const { atMs, extendMs } = this.#promotion!;
    const endsMs =
      lease.remainingTtl === 0 ? atMs + lease.ttl * 1000 : lease.checkpointedAtMs + lease.remainingTtl * 1000;
    return Math.max(endsMs, atMs) + extendMs;
  }

  #tell(id: LeaseId): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const fn of waiting ?? []) fn();
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
      tenure: 0,
      endsMs: Number.POSITIVE_INFINITY,
      keys: new Set(),
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

function rowKeyOf(id: LeaseId): Key {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(id);
  return bytes.toString('latin1');
}

function compare<T extends number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
