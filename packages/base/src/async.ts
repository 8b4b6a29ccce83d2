/** The few asynchronous helpers the shells share. */

/** A promise with its resolvers outside. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (reason: unknown) => void;
  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Whoever waits sees the rejection; a waiter that left must not turn it into an unhandled one.
    this.promise.catch(() => {});
  }
}

/** Many waiters, one event, again and again: wait() resolves at the next notify(). */
export class Notifier {
  #next = new Deferred<void>();

  wait(): Promise<void> {
    return this.#next.promise;
  }

  notify(): void {
    const fired = this.#next;
    this.#next = new Deferred<void>();
    fired.resolve();
  }
}
