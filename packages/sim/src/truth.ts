/**
 * What really happened: every change of every revision as the first member applied it. Each later application, on other members
 * and in replays after crashes, must be the same to the byte, and revisions must follow each other without a gap. Reads are judged
 * against it.
 */
import type { Key } from '@quorate/base';
import type { Change } from '@quorate/mvcc';
import { KeyValue } from '@quorate/proto';

/** The changes of one revision. */
interface Step {
  readonly changes: readonly Change[];
  readonly appliedMs: number;
}

/** A key's state from a revision on; `value` undefined after a delete. */
interface Version {
  readonly revision: number;
  readonly value: string | undefined;
  readonly modRevision: number;
}

/** Revision of an empty store. */
const firstRevision = 1;

export class Truth {
  readonly #steps = new Map<number, Step>();
  readonly #versions = new Map<Key, Version[]>();
  readonly #byValue = new Map<string, number>();
  readonly #listeners: ((changes: readonly Change[]) => void)[] = [];
  #last = firstRevision;

  /** Calls `fn` with the changes of each revision when the first member has applied it. */
  onRecorded(fn: (changes: readonly Change[]) => void): void {
    this.#listeners.push(fn);
  }

  /** Highest revision any member applied. */
  get lastRevision(): number {
    return this.#last;
  }

  /** A member applied `revision`. Throws when that contradicts what was applied before. */
  record(member: string, revision: number, changes: readonly Change[], nowMs: number): void {
    const known = this.#steps.get(revision);
    if (known !== undefined) {
      requireSame(member, revision, known.changes, changes);
      return;
    }
    if (revision !== this.#last + 1) {
      throw new Error(`${member} applied revision ${revision} after ${this.#last}`);
    }
    this.#last = revision;
    this.#steps.set(revision, { changes: [...changes], appliedMs: nowMs });
    for (const change of changes) this.#recordChange(revision, change);
    for (const listener of this.#listeners) listener(changes);
  }

  /** When `revision` was first applied anywhere; undefined when it never was. */
  appliedMs(revision: number): number | undefined {
    return this.#steps.get(revision)?.appliedMs;
  }

  changesAt(revision: number): readonly Change[] {
    return this.#steps.get(revision)?.changes ?? [];
  }

  /** The key's state at `revision`; undefined when it did not exist. */
  at(key: Key, revision: number): { readonly value: string; readonly modRevision: number } | undefined {
    const versions = this.#versions.get(key) ?? [];
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i]!;
      if (version.revision > revision) continue;
      return version.value === undefined ? undefined : { value: version.value, modRevision: version.modRevision };
    }
    return undefined;
  }

  /** Revision that deleted the key; undefined while it is there, and when it never was. */
  deletedAt(key: Key): number | undefined {
    const last = this.#versions.get(key)?.at(-1);
    return last !== undefined && last.value === undefined ? last.revision : undefined;
  }

  /** Revision that wrote this value (values of a simulation are unique); undefined when none did. */
  revisionOf(value: string): number | undefined {
    return this.#byValue.get(value);
  }

  /** All keys alive at `revision` with their values, in byte order. */
  stateAt(revision: number): [Key, string][] {
    const state: [Key, string][] = [];
    for (const key of [...this.#versions.keys()].sort()) {
      const found = this.at(key, revision);
      if (found !== undefined) state.push([key, found.value]);
    }
    return state;
  }

  #recordChange(revision: number, change: Change): void {
    const record = KeyValue.decode(change.record);
    const value = change.type === 'put' ? record.value.toString('latin1') : undefined;
    if (value !== undefined) {
      const earlier = this.#byValue.get(value);
      if (earlier !== undefined) throw new Error(`value ${value} was written at ${earlier} and again at ${revision}`);
      this.#byValue.set(value, revision);
    }
    const versions = this.#versions.get(change.key) ?? [];
    versions.push({ revision, value, modRevision: revision });
    this.#versions.set(change.key, versions);
  }
}

function requireSame(member: string, revision: number, known: readonly Change[], again: readonly Change[]): void {
  const same =
    known.length === again.length &&
    known.every((change, i) => {
      const other = again[i]!;
      return change.type === other.type && change.key === other.key && change.record.equals(other.record);
    });
  if (!same)
    throw new Error(`${member} applied revision ${revision} differently from another member or an earlier run`);
}
