/** What a log should say, kept the plainest way: everything in memory, and every state it ever had. */
import type { Entry, HardState, SnapshotMark } from '@quorate/proto';
import { outline } from './fixture.ts';

export class LogModel {
  hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  mark: SnapshotMark | undefined = undefined;
  entries: Entry[] = [];

  /** Continues from what a log said. */
  static of(state: {
    readonly hardState: HardState;
    readonly snapshot: SnapshotMark | undefined;
    readonly entries: readonly Entry[];
  }): LogModel {
    const model = new LogModel();
    model.hardState = state.hardState;
    model.mark = state.snapshot;
    model.entries = [...state.entries];
    return model;
  }

  get base(): number {
    return this.mark?.index ?? 0;
  }

  get lastIndex(): number {
    return this.base + this.entries.length;
  }

  termAt(index: number): number | undefined {
    return index === this.base ? this.mark?.term : this.entries[index - this.base - 1]?.term;
  }

  append(hardState: HardState | undefined, entries: readonly Entry[], mark: SnapshotMark | undefined): void {
    if (mark !== undefined && mark.index > this.base) {
      const fits = this.termAt(mark.index) === mark.term;
      this.entries = fits ? this.entries.slice(mark.index - this.base) : [];
      this.mark = mark;
    }
    for (const entry of entries) {
      this.entries.length = entry.index - this.base - 1;
      this.entries.push(entry);
    }
    if (hardState !== undefined) this.hardState = hardState;
  }

  /** All of it, for comparing. */
  toString(): string {
    const { term, vote, commit } = this.hardState;
    const mark =
      this.mark === undefined ? 'none' : `${this.mark.index}@${this.mark.term}#${this.mark.confState.length}`;
    return `${term},${vote},${commit} | ${mark} | ${outline(this.entries).join(' ')}`;
  }
}
