/**
 * What callers tried and what they were told, to be held against what a store contains afterwards. Every attempt writes a value of
 * its own, so a store shows which attempt it holds. A caller works on its own keys, one call at a time.
 */
import type { KeyValue } from '@quorate/proto';

/** One write of one key. */
export interface Attempt {
  readonly key: string;
  /** Undefined: a deletion. */
  readonly value: string | undefined;
  /** Revision the caller was told; undefined when it was told nothing, and the write may have happened or not. */
  revision: number | undefined;
}

export class Ledger {
  readonly #attempts = new Map<string, Attempt[]>();
  /** Keys written at one acknowledged revision, by the attempts of one call. */
  readonly #acknowledged = new Map<number, readonly Attempt[]>();
  readonly #problems: string[] = [];
  readonly #valueBytes: number;
  #count = 0;

  /** Values are at least `valueBytes` long. */
  constructor(valueBytes = 0) {
    this.#valueBytes = valueBytes;
  }

  /** Number of acknowledged calls. */
  get acknowledgedCount(): number {
    return this.#acknowledged.size;
  }

  /** Highest acknowledged revision; 1 before there is one. */
  get lastRevision(): number {
    return Math.max(1, ...this.#acknowledged.keys());
  }

  /** Notes that `key` is about to be written, with the value to write. */
  put(key: string): Attempt & { readonly value: string } {
    const value = `${key}#${++this.#count} `.padEnd(this.#valueBytes, '.');
    return this.#note({ key, value, revision: undefined });
  }

  delete(key: string): Attempt {
    return this.#note({ key, value: undefined, revision: undefined });
  }

  /** The call that made `attempts` was answered with `revision`. */
  acknowledge(attempts: readonly Attempt[], revision: number): void {
    for (const attempt of attempts) attempt.revision = revision;
    const other = this.#acknowledged.get(revision);
    if (other !== undefined) {
      this.#problems.push(`revision ${revision} was given to ${namesOf(other)} and to ${namesOf(attempts)}`);
    }
    this.#acknowledged.set(revision, attempts);
  }

  /** A deletion that found nothing: it changed nothing and has no revision of its own. */
  acknowledgeAbsence(attempt: Attempt, revision: number): void {
    attempt.revision = revision;
  }

  /** What is wrong with a store that holds `kvs`; empty when it may be so. */
  problems(kvs: readonly KeyValue[]): string[] {
    const stored = new Map(kvs.map((kv) => [kv.key.toString(), kv]));
    const found = [...this.#problems];
    for (const [key, attempts] of this.#attempts) {
      const problem = problemOf(stored.get(key), attempts);
      if (problem !== undefined) found.push(`${key}: ${problem}`);
      stored.delete(key);
    }
    for (const key of stored.keys()) found.push(`${key}: nobody wrote it`);
    return found;
  }

  #note<T extends Attempt>(attempt: T): T {
    const attempts = this.#attempts.get(attempt.key);
    if (attempts === undefined) this.#attempts.set(attempt.key, [attempt]);
    else attempts.push(attempt);
    return attempt;
  }
}

/** A key holds its last acknowledged attempt, or one made after that whose outcome nobody knows. */
function problemOf(kv: KeyValue | undefined, attempts: readonly Attempt[]): string | undefined {
  const last = attempts.findLastIndex((attempt) => attempt.revision !== undefined);
  const acknowledged = attempts[last];
  const possible = attempts.slice(Math.max(last, 0));
  const value = kv?.value.toString();
  const held = possible.find((attempt) => attempt.value === value);
  if (held === undefined) {
    if (value === undefined && last === -1) return undefined;
    const expected = `${named(acknowledged?.value)} at revision ${acknowledged?.revision}`;
    return `holds ${named(value)}, acknowledged was ${expected}`;
  }
  if (held === acknowledged && kv !== undefined && kv.modRevision !== held.revision) {
    return `was acknowledged at revision ${held.revision}, stands at ${kv.modRevision}`;
  }
  return undefined;
}

function namesOf(attempts: readonly Attempt[]): string {
  return attempts.map(({ key, value }) => (value === undefined ? `deletion of ${key}` : named(value))).join(', ');
}

/** A value without its padding. */
function named(value: string | undefined): string {
  return value === undefined ? 'nothing' : value.split(' ', 1)[0]!.slice(0, 100);
}
