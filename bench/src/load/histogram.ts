/** Latencies in buckets of about 2 % width from a microsecond to minutes: exact enough for percentiles, constant in memory. */
const bucketsPerDecade = 116;
const decades = 8;
const smallestMs = 0.001;

export class Histogram {
  readonly #counts = new Uint32Array(bucketsPerDecade * decades);
  #total = 0;
  #sumMs = 0;
  #maxMs = 0;

  record(ms: number): void {
    const at = Math.floor(Math.log10(Math.max(ms, smallestMs) / smallestMs) * bucketsPerDecade);
    this.#counts[Math.min(at, this.#counts.length - 1)]!++;
    this.#total++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  get count(): number {
    return this.#total;
  }

  get meanMs(): number {
    return this.#total === 0 ? 0 : this.#sumMs / this.#total;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  /** `share` in (0, 1]: 0.99 for the 99th percentile. */
  percentileMs(share: number): number {
    let left = Math.ceil(this.#total * share);
    for (let i = 0; i < this.#counts.length; i++) {
      left -= this.#counts[i]!;
      if (left <= 0) return smallestMs * 10 ** ((i + 0.5) / bucketsPerDecade);
    }
    return 0;
  }
}
