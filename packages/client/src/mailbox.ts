/**
 * A queue between one producer that does not wait and one reader that does: what a stream brings lies here until somebody asks.
 * It has no limit of its own; the producer watches {@link Mailbox.length} or what {@link MailboxOptions.onTake} reports.
 */

export interface MailboxOptions<T> {
  /** The reader was handed this item. */
  readonly onTake?: (item: T) => void;
  /** The reader left: nothing more will be asked for. Called at most once, and not when the producer ended first. */
  readonly onLeave?: () => void;
}

type End = { readonly failed: false } | { readonly failed: true; readonly error: unknown };

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

/** Items in order, then the end or the failure (thrown once). */
export class Mailbox<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: MailboxOptions<T>;
  #items: T[] = [];
  #first = 0;
  readonly #waiters: Waiter<T>[] = [];
  #end: End | undefined;

  constructor(options: MailboxOptions<T> = {}) {
    this.#options = options;
  }

  /** Items that wait for the reader. */
  get length(): number {
    return this.#items.length - this.#first;
  }

  /** True once nothing more can be put in. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Ignored after the end. */
  push(item: T): void {
    if (this.#end !== undefined) return;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#items.push(item);
      return;
    }
    waiter.resolve({ done: false, value: item });
    this.#options.onTake?.(item);
  }

  /** The reader gets what is there, then the end. */
  end(): void {
    this.#finish({ failed: false });
  }

  /** The reader gets what is there, then the error. */
  fail(error: unknown): void {
    this.#finish({ failed: true, error });
  }

  /** The reader gets the error next; what is there is dropped. */
  abort(error: unknown): void {
    this.#clear();
    this.#finish({ failed: true, error });
  }

  /** The reader gets the end next; what is there is dropped. */
  drop(): void {
    this.#clear();
    this.#finish({ failed: false });
  }

  /** Drops the oldest item, if there is one. */
  dropOldest(): void {
    if (this.length > 0) this.#shift();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.length > 0) {
      const value = this.#shift();
      this.#options.onTake?.(value);
      return Promise.resolve({ done: false, value });
    }
    const end = this.#end;
    if (end === undefined) return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    this.#end = { failed: false };
    return end.failed ? Promise.reject(end.error) : Promise.resolve({ done: true, value: undefined });
  }

  /** What a `for await` does when it is left early. */
  return(): Promise<IteratorResult<T, undefined>> {
    const left = this.#end === undefined;
    this.drop();
    if (left) this.#options.onLeave?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #shift(): T {
    const item = this.#items[this.#first]!;
    this.#first += 1;
    // An array is cut rarely, so that taking the oldest stays cheap however many there are.
    if (this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  #clear(): void {
    this.#items = [];
    this.#first = 0;
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    const [first, ...others] = this.#waiters.splice(0);
    // A failure is told once: to who waits, or to who asks next.
    this.#end = first === undefined ? end : { failed: false };
    if (end.failed) first?.reject(end.error);
    else first?.resolve({ done: true, value: undefined });
    for (const waiter of others) waiter.resolve({ done: true, value: undefined });
  }
}
