/**
 * What falls due when: a binary heap over the items themselves, each of which knows its place, so that moving one, which every
 * renewal does, costs a few swaps and no search.
 */

/** An item that can stand in a queue. Both fields belong to the queue. */
export interface Queued {
  /** Clock milliseconds at which it falls due. */
  dueMs: number;
  /** Where it stands in the heap; -1 when in none. */
  place: number;
}

export class ExpiryQueue<Item extends Queued> {
  readonly #heap: Item[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The item that falls due first. */
  get first(): Item | undefined {
    return this.#heap[0];
  }

  /** Puts an item where `dueMs` belongs, new or not. */
  set(item: Item, dueMs: number): void {
    item.dueMs = dueMs;
    if (item.place < 0) {
      item.place = this.#heap.length;
      this.#heap.push(item);
    }
    this.#up(item.place);
    this.#down(item.place);
  }

  /** Takes an item out; fine when it is not in. */
  delete(item: Item): void {
    const at = item.place;
    if (at < 0) return;
    const last = this.#heap.pop()!;
    item.place = -1;
    if (last === item) return;
    this.#heap[at] = last;
    last.place = at;
    this.#up(at);
    this.#down(at);
  }

  clear(): void {
    for (const item of this.#heap) item.place = -1;
    this.#heap.length = 0;
  }

  #up(from: number): void {
    const heap = this.#heap;
    const item = heap[from]!;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above]!;
      if (parent.dueMs <= item.dueMs) break;
      heap[at] = parent;
      parent.place = at;
      at = above;
    }
    heap[at] = item;
    item.place = at;
  }

  #down(from: number): void {
    const heap = this.#heap;
    const item = heap[from]!;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.dueMs < heap[below]!.dueMs) below++;
      const child = heap[below]!;
      if (item.dueMs <= child.dueMs) break;
      heap[at] = child;
      child.place = at;
      at = below;
    }
    heap[at] = item;
    item.place = at;
  }
}
