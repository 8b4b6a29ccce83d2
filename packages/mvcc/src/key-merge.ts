/**
 * All runs of keys (key-run.ts) in one order: by key, and rows of one key by their order in time. A heap holds the runs by the row
 * each is at; what is compared first is a number, six bytes of the key behind what all keys share, which lies in the heap itself.
 */
import { compareBytes, type KeyPlace, type KeyRun } from './key-run.ts';

const headBytes = 6;

/** One run and the row it is at. */
class Cursor implements KeyPlace {
  readonly bytes: Buffer;
  start = 0;
  end = 0;
  head = 0;
  /** Id of the version that the row describes. */
  id = 0;
  /** Of the run's first row. */
  readonly #firstId: number;
  readonly #run: KeyRun;
  readonly #shared: number;
  #position = -1;

  constructor(run: KeyRun, firstId: number, shared: number) {
    this.bytes = run.bytes;
    this.#run = run;
    this.#firstId = firstId;
    this.#shared = shared;
  }

  /** Goes to the next row; false when there is none. */
  advance(): boolean {
    if (++this.#position >= this.#run.count) return false;
    const row = this.#run.rowAt(this.#position);
    this.id = this.#firstId + row;
    this.start = this.#run.start(row);
    this.end = this.#run.end(row);
    const at = this.start + this.#shared;
    let head = 0;
    for (let i = at; i < at + headBytes; i++) head = head * 256 + (i < this.end ? this.bytes[i]! : 0);
    this.head = head;
    return true;
  }

  /** Whether this row comes before the one of `other`. Ids tell the order in time. */
  isBefore(other: Cursor): boolean {
    if (this.head !== other.head) return this.head < other.head;
    const order = compareBytes(this, other);
    return order === 0 ? this.id < other.id : order < 0;
  }
}

/** Where the merge stands: the row that {@link KeyMerge.current} tells. */
export interface MergedRow extends KeyPlace {
  readonly id: number;
  /** Equal for equal keys, and mostly different for others. */
  readonly head: number;
}

/** Sorted runs as one. */
export class KeyMerge {
  /** By order of their rows; a run that is at its end is not here. */
  readonly #heap: Cursor[] = [];

  /** `runs` are sorted, and in order of time; the rows of all of them have the ids from `firstId` on, one after the other. */
  constructor(runs: readonly KeyRun[], firstId: number) {
    const shared = sharedByAll(runs);
    let id = firstId;
    for (const run of runs) {
      const cursor = new Cursor(run, id, shared);
      id += run.count;
      if (cursor.advance()) this.#heap.push(cursor);
    }
    for (let i = (this.#heap.length >>> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** The row it is at, valid until {@link advance}; undefined at the end. */
  get current(): MergedRow | undefined {
    return this.#heap[0];
  }

  /** Goes to the next row. */
  advance(): void {
    const heap = this.#heap;
    if (!heap[0]!.advance()) {
      const last = heap.pop()!;
      if (heap.length === 0) return;
      heap[0] = last;
    }
    this.#sink(0);
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const moving = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.isBefore(heap[child]!)) child++;
      if (!heap[child]!.isBefore(moving)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moving;
  }
}

/** Bytes that all keys begin with: those that the lowest and the highest of all runs do. */
function sharedByAll(runs: readonly KeyRun[]): number {
  const ends = runs.filter((run) => run.count > 0).flatMap((run) => [placeAt(run, 0), placeAt(run, run.count - 1)]);
  const [first] = ends;
  if (first === undefined) return 0;
  let shared = first.end - first.start;
  for (const place of ends) {
    shared = Math.min(shared, place.end - place.start);
    let at = 0;
    while (at < shared && place.bytes[place.start + at] === first.bytes[first.start + at]) at++;
    shared = at;
  }
  return shared;
}

function placeAt(run: KeyRun, position: number): KeyPlace {
  const row = run.rowAt(position);
  return { bytes: run.bytes, start: run.start(row), end: run.end(row) };
}
