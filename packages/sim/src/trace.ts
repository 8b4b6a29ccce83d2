/**
 * What happened, in order. Two runs of one seed must produce the same bytes: the running hash over all lines tells at a glance,
 * the last lines tell where they parted.
 */
import type { Scheduler } from './scheduler.ts';

/** Lines kept for a report. */
const tailMax = 200;

export class Trace {
  readonly #scheduler: Scheduler;
  readonly #tail: string[] = [];
  #hash = 0xcbf29ce484222325n;
  #count = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  add(line: string): void {
    const stamped = `${this.#scheduler.nowMs.toFixed(3)} ${line}`;
    this.#hash = fnv(this.#hash, stamped);
    this.#count++;
    this.#tail.push(stamped);
    if (this.#tail.length > tailMax) this.#tail.shift();
  }

  /** Hash over all lines so far, and how many there were. */
  get digest(): string {
    return `${this.#count}:${this.#hash.toString(16)}`;
  }

  /** The newest lines. */
  get tail(): readonly string[] {
    return this.#tail;
  }
}

/** FNV-1a over 64 bits, four characters a step: enough to tell two traces apart, not more. */
function fnv(hash: bigint, text: string): bigint {
  let low = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) low = Math.imul(low ^ text.charCodeAt(i), 0x01000193);
  return BigInt.asUintN(64, (hash ^ BigInt(low >>> 0)) * 0x100000001b3n);
}
