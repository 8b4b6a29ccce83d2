/**
 * Spreads the ends of leases that a new leader finds, so that they do not all have to be revoked at once: no second takes more than
 * so many of them, and who finds its second full ends whole seconds later, in the first one with room. Leases come in any order; which
 * seconds are taken in the end is the same for every order.
 */
export class EndSpread {
  readonly #perSecond: number;
  readonly #taken = new Map<number, number>();
  /** For a full second, one behind it up to which all are full. */
  readonly #behind = new Map<number, number>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** When a lease ends that is to end at `endsMs`: then, or whole seconds later. */
  place(endsMs: number): number {
    const wanted = Math.floor(endsMs / 1000);
    const second = this.#firstWithRoom(wanted);
    const taken = (this.#taken.get(second) ?? 0) + 1;
    this.#taken.set(second, taken);
    if (taken >= this.#perSecond) this.#behind.set(second, second + 1);
    return endsMs + (second - wanted) * 1000;
  }

  /** Shortens the way for who comes next, so that all of them together take little more than one look each. */
  #firstWithRoom(wanted: number): number {
    let second = wanted;
    for (let next = this.#behind.get(second); next !== undefined; next = this.#behind.get(second)) second = next;
    for (let full = wanted; full < second; ) {
      const next = this.#behind.get(full)!;
      this.#behind.set(full, second);
      full = next;
    }
    return second;
  }
}
