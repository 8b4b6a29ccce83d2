/** Calls under way by the number of their stream: a ring, since those of one connection lie close together. */

/** Called once, with whether the call was answered; false for a failure. */
export type OnAnswer = (answered: boolean) => void;

/** A power of two, as all sizes of the ring. */
const smallestRing = 64;

export class CallTable {
  #streams = new Uint32Array(smallestRing);
  #calls: (OnAnswer | undefined)[] = new Array(smallestRing).fill(undefined);

  add(stream: number, call: OnAnswer): void {
    const at = this.#at(stream);
    if (this.#calls[at] !== undefined) {
      this.#grow();
      this.add(stream, call);
      return;
    }
    this.#streams[at] = stream;
    this.#calls[at] = call;
  }

  /** The call of a stream, which is forgotten; undefined when there is none any more. */
  take(stream: number): OnAnswer | undefined {
    const at = this.#at(stream);
    if (this.#streams[at] !== stream) return undefined;
    const call = this.#calls[at];
    this.#calls[at] = undefined;
    return call;
  }

  /** Streams of clients have odd numbers. */
  #at(stream: number): number {
    return (stream >>> 1) & (this.#calls.length - 1);
  }

  #grow(): void {
    const streams = this.#streams;
    const calls = this.#calls;
    this.#streams = new Uint32Array(calls.length * 2);
    this.#calls = new Array(calls.length * 2).fill(undefined);
    for (let i = 0; i < calls.length; i++) if (calls[i] !== undefined) this.add(streams[i]!, calls[i]!);
  }
}
