/**
 * Chance, as an argument: election jitter, request ids, member incarnations. Production seeds it from the system, the
 * simulator from the seed of the run.
 */

/** Integers below a bound, and nothing else; everything needed is built from that. */
export interface Random {
  /** A whole number in [0, bound); 1 <= bound <= 2^32. */
  below(bound: number): number;
}

/** 64 random bits, never 0. */
export function randomId(random: Random): bigint {
  for (;;) {
    const high = BigInt(random.below(0x1_0000_0000));
    const low = BigInt(random.below(0x1_0000_0000));
    const id = (high << 32n) | low;
    if (id !== 0n) return id;
  }
}

/** Small fast generator with 128 bits of state (xoshiro128**); the same seed gives the same sequence on every machine. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number | bigint) {
    // SplitMix32 spreads a small seed over the whole state, as the generator's authors advise.
    let z = Number(BigInt.asUintN(32, BigInt(seed) ^ (BigInt(seed) >> 32n))) >>> 0;
    const next = (): number => {
      z = (z + 0x9e3779b9) >>> 0;
      let t = z ^ (z >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      return (t ^ (t >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  below(bound: number): number {
    // Rejection keeps it unbiased; more than one round is rare for small bounds.
    const limit = Math.floor(0x1_0000_0000 / bound) * bound;
    for (;;) {
      const value = this.#next();
      if (value < limit) return value % bound;
    }
  }

  #next(): number {
    const b5 = Math.imul(this.#b, 5);
    const result = Math.imul((b5 << 7) | (b5 >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }
}
