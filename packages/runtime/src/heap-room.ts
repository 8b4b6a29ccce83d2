/**
 * How much garbage V8 lets gather in the old generation before it collects it. Entries of the log and rows that wait for their
 * commit live long enough to be moved there and die soon after, so under load V8 marks a heap of 20 MB several times a second,
 * a fifth of a follower's CPU. While the heap is small it may grow to five times what lives in it, which is less than a hundred
 * megabytes more; a large one, of millions of keys, is left to V8, since memory is what counts there.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

/** The process's heap, and the flag; an argument for tests. */
export interface Heap {
  usedBytes(): number;
  /** Percent of what lives that may come on top before the next collection; 0 leaves it to V8. */
  setGrowing(percent: number): void;
}

const nodeHeap: Heap = {
  usedBytes: () => getHeapStatistics().used_heap_size,
  // V8 reads this flag whenever it has collected.
  setGrowing: (percent) => setFlagsFromString(`--heap-growing-percent=${percent}`),
};

const smallHeapBytes = 256 * 1024 * 1024;
const smallHeapGrowingPercent = 400;
/** A heap of half a million keys is filled in ten seconds. */
const checkMs = 1_000;

export class HeapRoom {
  readonly #heap: Heap;
  #percent = 0;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** Sets what fits the heap as it is now. */
  check(): void {
    const percent = this.#heap.usedBytes() < smallHeapBytes ? smallHeapGrowingPercent : 0;
    if (percent === this.#percent) return;
    this.#percent = percent;
    this.#heap.setGrowing(percent);
  }
}

/** From now on, for as long as the process lives; it does not keep it alive. For programs: the flag is the whole process's. */
export function leaveHeapRoom(): void {
  const room = new HeapRoom(nodeHeap);
  room.check();
  setInterval(() => room.check(), checkMs).unref();
}
