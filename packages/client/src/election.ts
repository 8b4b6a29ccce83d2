/** Electing one of several sessions, as clientv3/concurrency has it: made of keys, by the clients alone. */
import { EventEventType, type KeyValue, KvError, ResponseHeader } from '@quorate/proto';
import type { Bytes } from './bytes.ts';
import { toBuffer } from './bytes.ts';
import { CompactedError } from './errors.ts';
import { type Limits, within } from './limits.ts';
import { isHeld, type Place, Queue } from './queue.ts';
import type { Session } from './session.ts';
import { op } from './txn.ts';

/** Who is elected, as {@link Election.observe} tells. */
export interface LeaderUpdate {
  readonly kv: KeyValue;
  /** Of the answer that told it. */
  readonly header: ResponseHeader;
}

/** An election that this session may stand in, and watch. */
export class Election {
  readonly #session: Session;
  readonly #queue: Queue;
  #place: Place | undefined;
  /** Begun to resign: another may be elected, although the answer is still to come. */
  #isLeaving = false;

  constructor(session: Session, name: Bytes) {
    this.#session = session;
    this.#queue = new Queue(session, name);
  }

  /** Goes on with an election that this session has won before; `leader` is what {@link place} gave. */
  static resume(session: Session, name: Bytes, leader: Place): Election {
    const election = new Election(session, name);
    election.#place = leader;
    return election;
  }

  /** Key and revision that stand for the leadership; undefined when this session was not elected. */
  get place(): Place | undefined {
    return this.#place;
  }

  /** True while this session is elected as far as is known here, and lives for sure. */
  get isLeader(): boolean {
    return this.#place !== undefined && !this.#isLeaving && this.#session.isAlive;
  }

  /**
   * Stands for election and resolves when elected. Rejects with the signal's reason, a deadline error, what ended the session, or what a
   * call failed with; by then the candidacy is withdrawn.
   */
  async campaign(value: Bytes, limits: Limits = {}): Promise<void> {
    const { space, done } = this.#session;
    await within({ clock: space.clock, others: [done] }, limits, async (signal) => {
      try {
        const place = await this.#queue.take(value, signal);
        const isStale = place.oldValue !== undefined && !place.oldValue.equals(toBuffer(value));
        if (isStale) await this.#write(place, value, signal);
        if (!place.isFirst) {
          await this.#queue.waitForTurn(place, signal);
          await this.#queue.mustStand(place, signal);
        }
        this.#place = { key: place.key, revision: place.revision };
        this.#isLeaving = false;
      } catch (error) {
        this.#place = undefined;
        await this.#queue.withdraw();
        throw error;
      }
    });
  }

  /** Gives the leader another value without another election. Throws electionNotLeader when this session is not elected. */
  async proclaim(value: Bytes, limits: Limits = {}): Promise<void> {
    const place = this.#place;
    if (place === undefined) throw new KvError('electionNotLeader');
    await within(this.#session.space, limits, (signal) => this.#write(place, value, signal));
  }

  /** Lets another be elected; nothing when this session is not elected. */
  async resign(limits: Limits = {}): Promise<void> {
    const place = this.#place;
    if (place === undefined) return;
    this.#isLeaving = true;
    await within(this.#session.space, limits, (signal) => this.#queue.give(place, signal));
    this.#place = undefined;
  }

  /** The leader's key and value. Throws electionNoLeader when there is none. */
  async leader(limits: Limits = {}): Promise<KeyValue> {
    const leader = (await within(this.#session.space, limits, (signal) => this.#look(signal))).kv;
    if (leader === undefined) throw new KvError('electionNoLeader');
    return leader;
  }

  /**
   * The leader now and whenever it or its value changes, in order; a leader of a moment may be left out. Ends only by leaving the loop,
   * by the signal, or with an error.
   */
  async *observe({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<LeaderUpdate, void, undefined> {
    const abort = signal === undefined ? {} : { signal };
    for (let last: KeyValue | undefined; ; ) {
      const { kv, header } = await this.#look(signal);
      const found = kv === undefined ? await this.#firstPut(header.revision + 1, signal) : { kv, header };
      if (found === undefined) continue;
      const leader = found.kv;
      // A leader may be seen again after compaction. Revisions do not tell: a new leader's may be the older one.
      if (last?.modRevision !== leader.modRevision || !last.key.equals(leader.key)) yield found;
      last = leader;
      try {
        const since = Math.max(header.revision, leader.modRevision) + 1;
        for await (const next of this.#changes(leader.key, { startRevision: since, ...abort })) {
          last = next.kv;
          yield next;
        }
      } catch (error) {
        if (!(error instanceof CompactedError)) throw error;
      }
    }
  }

  async #write(place: Place, value: Bytes, signal: AbortSignal): Promise<void> {
    const { space, lease } = this.#session;
    const { succeeded } = await space.kv.txn(
      { compare: [isHeld(place)], success: [op.put(place.key, value, { lease })] },
      { signal },
    );
    if (succeeded) return;
    this.#place = undefined;
    throw new KvError('electionNotLeader');
  }

  async #look(signal: AbortSignal | undefined): Promise<{ kv: KeyValue | undefined; header: ResponseHeader }> {
    const { kvs, header } = await this.#session.space.kv.get(
      this.#queue.prefix,
      { prefix: true, sortBy: 'CREATE', order: 'ASCEND', limit: 1 },
      signal === undefined ? {} : { signal },
    );
    return { kv: kvs[0], header: header ?? ResponseHeader.create() };
  }

  /** The first candidate; undefined when that has to be looked up. */
  async #firstPut(startRevision: number, signal: AbortSignal | undefined): Promise<LeaderUpdate | undefined> {
    const abort = signal === undefined ? {} : { signal };
    const watcher = this.#session.space.watch(this.#queue.prefix, {
      prefix: true,
      noDelete: true,
      startRevision,
      ...abort,
    });
    try {
      for await (const update of watcher) {
        const kv = update.kind === 'events' ? update.events[0]?.kv : undefined;
        if (kv !== undefined) return { kv, header: update.header };
      }
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
    }
    return undefined;
  }

  /** New values of a leader, until its key is deleted. */
  async *#changes(
    key: Buffer,
    options: { readonly startRevision: number; readonly signal?: AbortSignal },
  ): AsyncGenerator<LeaderUpdate, void, undefined> {
    for await (const update of this.#session.space.watch(key, options)) {
      if (update.kind !== 'events') continue;
      for (const { type, kv } of update.events) {
        if (type === EventEventType.DELETE) return;
        if (kv !== undefined) yield { kv, header: update.header };
      }
    }
  }
}
