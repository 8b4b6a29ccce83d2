/** Random but lawful work for a log: what raft may do, in every order. */
import { type Random, SimulatedCrash } from '@quorate/base';
import type { Entry, HardState, SnapshotMark } from '@quorate/proto';
import type { Wal } from '../wal.ts';
import { entry } from './fixture.ts';
import { LogModel } from './log-model.ts';

export interface Append {
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly mark: SnapshotMark | undefined;
}

/** What raft might append next to a log in this state. */
export function nextAppend(model: LogModel, random: Random): Append {
  const term = Math.max(model.hardState.term, 1) + (random.below(8) === 0 ? 1 : 0);
  const mark = random.below(10) === 0 ? nextMark(model, term, random) : undefined;
  const behind = LogModel.of({ hardState: model.hardState, snapshot: model.mark, entries: model.entries });
  behind.append(undefined, [], mark);
  // What is committed stays; the rest may be replaced by a new leader.
  const floor = Math.max(behind.base, Math.min(model.hardState.commit, behind.lastIndex));
  const back = random.below(6) === 0 ? random.below(behind.lastIndex - floor + 1) : 0;
  const first = behind.lastIndex + 1 - back;
  const count = random.below(7);
  const entries = Array.from({ length: count }, (_, i) => entry(first + i, randomSize(random), term));
  const last = count === 0 ? behind.lastIndex : first + count - 1;
  const commit = floor + random.below(last - floor + 1);
  const hardState = random.below(2) === 0 ? { term, vote: BigInt(random.below(4)), commit } : undefined;
  return { hardState, entries, mark };
}

/** A compaction somewhere in the log, or a snapshot from a leader that replaces it. */
function nextMark(model: LogModel, term: number, random: Random): SnapshotMark | undefined {
  const confState = Buffer.alloc(random.below(40), 7);
  if (random.below(3) === 0) return { index: model.lastIndex + 1 + random.below(20), term: term + 1, confState };
  const { commit } = model.hardState;
  if (commit <= model.base) return undefined;
  const index = model.base + 1 + random.below(commit - model.base);
  const termThere = model.termAt(index);
  return termThere === undefined ? undefined : { index, term: termThere, confState };
}

function randomSize(random: Random): number {
  const kind = random.below(40);
  if (kind === 0) return 16_384 + random.below(20_000);
  return kind < 5 ? random.below(3000) : random.below(200);
}

/** A log under work, and all states it went through. */
export class Workload {
  readonly #wal: Wal;
  readonly #random: Random;
  readonly #model: LogModel;
  /** State after each append, the first from before all of them. */
  readonly states: string[];
  /** Position in {@link states} of the newest that was acknowledged. */
  acknowledged = 0;

  constructor(wal: Wal, model: LogModel, random: Random) {
    this.#wal = wal;
    this.#model = model;
    this.#random = random;
    this.states = [model.toString()];
  }

  /** Appends, syncs and releases until done or until something fails; true when nothing did. */
  async run(appends: number): Promise<boolean> {
    const pending: Promise<unknown>[] = [];
    let isFine = true;
    const note = (error: unknown): void => {
      isFine = false;
      if (error instanceof SimulatedCrash) throw error;
    };
    for (let i = 0; i < appends && isFine; i++) {
      try {
        this.#append();
      } catch {
        return false;
      }
      if (this.#random.below(3) === 0) continue;
      const synced = this.#sync().catch(note);
      if (this.#random.below(2) === 0) await synced;
      else pending.push(synced);
      if (this.#random.below(5) === 0) pending.push(this.#release().catch(note));
    }
    await Promise.all(pending);
    return isFine;
  }

  #append(): void {
    const { hardState, entries, mark } = nextAppend(this.#model, this.#random);
    this.#wal.append(hardState, entries, mark);
    this.#model.append(hardState, entries, mark);
    this.states.push(this.#model.toString());
  }

  async #sync(): Promise<void> {
    const upTo = this.states.length - 1;
    const mark = this.#model.base;
    await this.#wal.sync();
    this.acknowledged = Math.max(this.acknowledged, upTo);
    this.#durableMark = Math.max(this.#durableMark, mark);
  }

  #durableMark = 0;

  async #release(): Promise<void> {
    if (this.#durableMark > 0) await this.#wal.release(this.#durableMark);
  }
}
