/**
 * Linearizable reads. All reads that arrive in one turn share one read-index round: the leader confirms with a majority that it
 * still leads, names its commit index, and the reads run once that index is applied here. A round never serves a read that
 * arrived after the round began, and every attempt carries a context of its own, so an answer to an older attempt can never
 * confirm a later read (Raft thesis 6.4).
 */
import type { Clock, Counter, MemberId, Meter } from '@quorate/base';
import type { KvError } from '@quorate/proto';

/** Called once: undefined when the read may run now, else why not. */
export type ReadDone = (error: KvError | undefined) => void;

export interface ReadIndexOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly meter: Meter;
  /** Milliseconds a read may wait in all. */
  readonly timeoutMs: number;
  /** Starts a round in raft; false when no leader is known. */
  readonly request: (context: Buffer) => boolean;
  readonly appliedIndex: () => number;
  readonly timeoutError: (startedMs: number) => KvError;
  /** Makes the raft node take a turn, which calls {@link ReadIndex.turn}. */
  readonly wake: () => void;
}

interface Read {
  readonly startedMs: number;
  readonly done: ReadDone;
}

interface Round {
  readonly id: number;
  readonly reads: Read[];
  readonly sentMs: number;
}

/** Milliseconds after which an unanswered round is asked again, with a new context (etcd: readIndexRetryTime). */
const retryMs = 500;
/** Rounds under way at once. More than one keeps a read from waiting two round trips; a bound keeps heartbeats few. */
const roundsMax = 4;

export class ReadIndex {
  readonly #options: ReadIndexOptions;
  /** Reads that no round has taken yet. */
  #arriving: Read[] = [];
  /** Under way, in order of their start, {@link roundsMax} at most. */
  #rounds: Round[] = [];
  /** Confirmed, waiting for their index to be applied; ascending. */
  readonly #confirmed: { readonly index: number; reads: Read[] }[] = [];
  readonly #slow: Counter;
  readonly #failed: Counter;
  #lastRound: number;
  #stopped: KvError | undefined;

  constructor(options: ReadIndexOptions) {
    this.#options = options;
    // As with proposal ids: a context of a former run of this member must not come back.
    this.#lastRound = (Math.floor(options.clock.wallMs()) * 4096) % Number.MAX_SAFE_INTEGER;
    const counter = (name: string, help: string): Counter => options.meter.counter({ name, help });
    this.#slow = counter(
      'etcd_server_slow_read_indexes_total',
      'Read-index rounds that had to be asked again, and linearizable reads that timed out.',
    );
    this.#failed = counter(
      'etcd_server_read_indexes_failed_total',
      'Linearizable reads that were not confirmed in time.',
    );
  }

  /** Calls `done` when a linearizable read may run, synchronously within the turn that allows it. */
  confirm(done: ReadDone): void {
    if (this.#stopped !== undefined) {
      done(this.#stopped);
      return;
    }
    this.#arriving.push({ startedMs: this.#options.clock.nowMs(), done });
    this.#options.wake();
  }

  /** Starts a round for what arrived, if one may start. Called on every turn of the raft node. */
  turn(): void {
    if (this.#arriving.length === 0 || this.#rounds.length >= roundsMax) return;
    const reads = this.#arriving;
    this.#arriving = [];
    const id = ++this.#lastRound;
    if (this.#options.request(encodeContext(this.#options.memberId, id))) {
      this.#rounds.push({ id, reads, sentMs: this.#options.clock.nowMs() });
    } else {
      // No leader: the reads wait for the next tick or leader change.
      this.#arriving = reads;
    }
  }

  /** Raft confirmed the round with this context at `index`. Contexts of given-up attempts are ignored. */
  onReadState(context: Buffer, index: number): void {
    const id = roundOf(this.#options.memberId, context);
    const at = this.#rounds.findIndex((known) => known.id === id);
    const round = this.#rounds[at];
    if (round === undefined) return;
    this.#rounds.splice(at, 1);
    if (index <= this.#options.appliedIndex()) {
      finish(round.reads, undefined);
    } else {
      insertByIndex(this.#confirmed, { index, reads: round.reads });
    }
    if (this.#arriving.length > 0) this.#options.wake();
  }

  /** The applied index moved: runs the reads that waited for it. */
  onApplied(index: number): void {
    while (this.#confirmed.length > 0 && this.#confirmed[0]!.index <= index) {
      finish(this.#confirmed.shift()!.reads, undefined);
    }
  }

  /** The leader changed: rounds under way will not be answered; their reads join the next round. */
  onLeaderChange(): void {
    for (const round of this.#rounds) this.#arriving.push(...round.reads);
    this.#rounds = [];
    if (this.#arriving.length > 0) this.#options.wake();
  }

  /** Asks again for rounds that are late and gives up reads whose time is over. Called once per tick. */
  tick(): void {
    const now = this.#options.clock.nowMs();
    while (this.#rounds.length > 0 && now - this.#rounds[0]!.sentMs >= retryMs) {
      this.#slow.add();
      this.#arriving.push(...this.#rounds.shift()!.reads);
    }
    this.#arriving = this.#dropExpired(this.#arriving, now);
    for (const waiting of this.#confirmed) waiting.reads = this.#dropExpired(waiting.reads, now);
    if (this.#arriving.length > 0) this.#options.wake();
  }

  stop(error: KvError): void {
    this.#stopped = error;
    const reads = [...this.#arriving, ...[...this.#rounds, ...this.#confirmed].flatMap((r) => r.reads)];
    this.#arriving = [];
    this.#rounds = [];
    this.#confirmed.length = 0;
    finish(reads, error);
  }

  #dropExpired(reads: Read[], now: number): Read[] {
    const limit = now - this.#options.timeoutMs;
    if (!reads.some((read) => read.startedMs <= limit)) return reads;
    const kept: Read[] = [];
    for (const read of reads) {
      if (read.startedMs > limit) {
        kept.push(read);
      } else {
        this.#slow.add();
        this.#failed.add();
        read.done(this.#options.timeoutError(read.startedMs));
      }
    }
    return kept;
  }
}

function finish(reads: readonly Read[], error: KvError | undefined): void {
  for (const read of reads) read.done(error);
}

/** Member id and round number: unique over the cluster, because the leader keeps the rounds of all members in one place. */
function encodeContext(memberId: MemberId, round: number): Buffer {
  const context = Buffer.allocUnsafe(16);
  context.writeBigUInt64BE(memberId, 0);
  context.writeBigUInt64BE(BigInt(round), 8);
  return context;
}

function roundOf(memberId: MemberId, context: Buffer): number | undefined {
  if (context.length !== 16 || context.readBigUInt64BE(0) !== memberId) return undefined;
  return Number(context.readBigUInt64BE(8));
}

function insertByIndex<T extends { readonly index: number }>(list: T[], item: T): void {
  let at = list.length;
  while (at > 0 && list[at - 1]!.index > item.index) at--;
  list.splice(at, 0, item);
}
