/**
 * What writers were told, what watchers were given, and whether the two agree. Revisions leave no gaps and each belongs to one
 * write, so what happened is known revision by revision: from the writer where it was acknowledged, else from those who saw it.
 * Every watcher must have been given its share of each revision it covers, in order, once, whole.
 */
import type { KeyValue } from '@quorate/proto';

/** One key changed by a write. Values of a history are unique. */
export interface Written {
  readonly key: string;
  /** Undefined: a deletion. */
  readonly value: string | undefined;
}

/** What a watcher saw of one key at one revision. */
export interface Seen extends Written {
  readonly createRevision: number;
  readonly version: number;
  readonly previous: { readonly value: string; readonly modRevision: number } | undefined;
}

/** What a watcher watches: keys in [key, end), one key without `end`. */
export interface WatchShape {
  readonly key: string;
  readonly end: string | undefined;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
}

/** What was written, as far as the writers know. */
export class WriteHistory {
  readonly acknowledged: Map<number, readonly Written[]> = new Map();
  /** Writes nobody was answered: they may have happened. */
  readonly unknown: (readonly Written[])[] = [];
  /** Highest revision up to which anybody asked to compact. */
  compactedMax = 0;
  readonly problems: string[] = [];

  acknowledge(revision: number, written: readonly Written[]): void {
    const other = this.acknowledged.get(revision);
    if (other !== undefined)
      this.problems.push(`revision ${revision} was given to ${named(other)} and to ${named(written)}`);
    this.acknowledged.set(revision, written);
  }

  get lastRevision(): number {
    return Math.max(1, ...this.acknowledged.keys());
  }
}

/** Everything one watcher was given over all its streams, and where it goes on. */
export class WatchLog {
  readonly name: string;
  readonly shape: WatchShape;
  readonly problems: string[] = [];
  /** Revisions it need not have seen, because compaction had passed them: [from, to). */
  readonly gaps: { readonly from: number; readonly to: number }[] = [];
  readonly #seen = new Map<number, Seen[]>();
  #first = 0;
  #next: number;

  /** `startRevision` 0: from whenever the watch is created. */
  constructor(name: string, shape: WatchShape, startRevision: number) {
    this.name = name;
    this.shape = shape;
    this.#next = startRevision;
    this.#first = startRevision;
  }

  /** First revision that is wanted; 0 before anything is known. */
  get next(): number {
    return this.#next;
  }

  /** First revision it ever wanted. */
  get first(): number {
    return this.#first;
  }

  at(revision: number): readonly Seen[] {
    return this.#seen.get(revision) ?? [];
  }

  get eventCount(): number {
    let count = 0;
    for (const seen of this.#seen.values()) count += seen.length;
    return count;
  }

  /** A member accepted the watch, at `revision`. */
  created(revision: number): void {
    if (this.#next > 0) return;
    this.#next = revision + 1;
    this.#first = this.#next;
  }

  /** Whole responses: events with their revisions, and the revision of the header. */
  given(events: readonly (readonly [revision: number, seen: Seen])[], headerRevision: number): void {
    let last = this.#next - 1;
    let at = 0;
    for (const [revision, seen] of events) {
      if (revision < this.#next) this.problems.push(`${seen.key}@${revision} came although ${this.#next} was next`);
      if (revision < last) this.problems.push(`${seen.key}@${revision} came after ${last}`);
      if (revision > headerRevision) this.problems.push(`${seen.key}@${revision} came under header ${headerRevision}`);
      last = Math.max(last, revision);
      if (at !== revision && !this.#seen.has(revision)) this.#seen.set(revision, []);
      at = revision;
      this.#seen.get(revision)!.push(seen);
    }
    this.#next = Math.max(this.#next, last + 1);
  }

  /** A member said that everything up to `revision` was given. */
  progress(revision: number): void {
    if (revision < this.#next - 1) this.problems.push(`progress at ${revision} although ${this.#next} was next`);
    this.#next = Math.max(this.#next, revision + 1);
  }

  /** A member ended the watch because compaction had passed what was next. */
  compacted(compactRevision: number): void {
    if (compactRevision <= this.#next) {
      this.problems.push(`ended by compaction at ${compactRevision} although ${this.#next} was next`);
      return;
    }
    this.gaps.push({ from: this.#next, to: compactRevision });
    this.#next = compactRevision;
  }

  /** Whether it must have seen its share of `revision`. */
  covers(revision: number): boolean {
    if (this.#first === 0 || revision < this.#first || revision >= this.#next) return false;
    return !this.gaps.some(({ from, to }) => revision >= from && revision < to);
  }

  wants({ key, value }: Written): boolean {
    const { shape } = this;
    if (value === undefined ? shape.noDelete : shape.noPut) return false;
    return shape.end === undefined ? key === shape.key : key >= shape.key && key < shape.end;
  }
}

export interface Verdict {
  readonly problems: readonly string[];
  /** Revisions nobody was told of, neither writer nor watcher. */
  readonly unknownCount: number;
}

const problemsMax = 20;

/** `kvs`: what the store holds at `lastRevision`, in the end. */
export function judgeWatches(
  history: WriteHistory,
  logs: readonly WatchLog[],
  end: { readonly lastRevision: number; readonly kvs: readonly KeyValue[] },
): Verdict {
  const truth = truthOf(history, logs, end.lastRevision);
  const problems = [...history.problems, ...truth.problems];
  for (const log of logs) {
    problems.push(...log.problems.map((problem) => `${log.name}: ${problem}`));
    problems.push(...shareProblems(log, truth, end.lastRevision));
    for (const { to } of log.gaps) {
      if (to > history.compactedMax) problems.push(`${log.name}: told of a compaction at ${to} that nobody asked for`);
    }
  }
  problems.push(...storeProblems(logs, truth, end));
  return { problems: problems.slice(0, problemsMax), unknownCount: truth.unknownCount };
}

interface Truth {
  /** What each known revision wrote; without order where `isOrdered` says no. */
  readonly writes: ReadonlyMap<number, readonly Written[]>;
  readonly acknowledged: ReadonlyMap<number, readonly Written[]>;
  /** Keys that a revision may also have changed, unseen by anybody; `everything` where nothing is known of it. */
  readonly doubts: ReadonlyMap<number, readonly string[] | 'everything'>;
  readonly problems: readonly string[];
  readonly unknownCount: number;
}

function truthOf(history: WriteHistory, logs: readonly WatchLog[], lastRevision: number): Truth {
  const writes = new Map<number, readonly Written[]>();
  const problems: string[] = [];
  const doubts = new Map<number, readonly string[] | 'everything'>();
  const attempts = new Attempts(history);
  let unknownCount = 0;
  for (let revision = 2; revision <= lastRevision; revision++) {
    const acknowledged = history.acknowledged.get(revision);
    if (acknowledged !== undefined) {
      writes.set(revision, acknowledged);
      continue;
    }
    const seen = new Map<string, Written>();
    for (const log of logs) for (const { key, value } of log.at(revision)) seen.set(key, { key, value });
    if (seen.size === 0) {
      unknownCount++;
      doubts.set(revision, 'everything');
      continue;
    }
    const written = [...seen.values()];
    writes.set(revision, written);
    const attempt = attempts.explain(written);
    if (attempt === undefined) problems.push(`revision ${revision}: nobody wrote ${named(written)}`);
    const unseen = (attempt ?? []).filter(({ key }) => !seen.has(key));
    doubts.set(
      revision,
      unseen.map(({ key }) => key),
    );
  }
  problems.push(...repeatedValues(writes));
  return { writes, acknowledged: history.acknowledged, doubts, problems, unknownCount };
}

/** The writes that may have happened, each of them once. */
class Attempts {
  readonly #byValue = new Map<string, readonly Written[]>();
  readonly #deletions = new Map<string, number>();
  readonly #byAttempt: readonly (readonly Written[])[];

  constructor(history: WriteHistory) {
    this.#byAttempt = history.unknown;
    for (const attempt of history.unknown) {
      for (const { key, value } of attempt) {
        if (value !== undefined) this.#byValue.set(value, attempt);
        else if (attempt.length === 1) this.#deletions.set(key, (this.#deletions.get(key) ?? 0) + 1);
      }
    }
  }

  /** The attempt that did this, which then has happened. */
  explain(seen: readonly Written[]): readonly Written[] | undefined {
    const isPartOf = (attempt: readonly Written[]): boolean =>
      seen.every((one) => attempt.some((other) => other.key === one.key && other.value === one.value));
    const value = seen.find((written) => written.value !== undefined)?.value;
    if (value !== undefined) {
      const attempt = this.#byValue.get(value);
      return attempt !== undefined && isPartOf(attempt) ? attempt : undefined;
    }
    const [first] = seen;
    const left = this.#deletions.get(first!.key) ?? 0;
    if (seen.length === 1 && left > 0) {
      this.#deletions.set(first!.key, left - 1);
      return seen;
    }
    // Deletions of a write whose puts only others were to see.
    return this.#byAttempt.find(isPartOf);
  }
}

function repeatedValues(writes: ReadonlyMap<number, readonly Written[]>): string[] {
  const at = new Map<string, number>();
  const problems: string[] = [];
  for (const [revision, written] of writes) {
    for (const { value } of written) {
      if (value === undefined) continue;
      const earlier = at.get(value);
      if (earlier !== undefined) problems.push(`${value} was written at ${earlier} and again at ${revision}`);
      at.set(value, revision);
    }
  }
  return problems;
}

/** Whether a watcher was given its share of every revision it covers, and nothing else. */
function shareProblems(log: WatchLog, truth: Truth, lastRevision: number): string[] {
  const problems: string[] = [];
  if (log.next <= lastRevision) problems.push(`${log.name}: got no further than ${log.next - 1} of ${lastRevision}`);
  for (let revision = log.first; revision <= lastRevision; revision++) {
    const seen = log.at(revision);
    if (!log.covers(revision)) {
      if (seen.length > 0) problems.push(`${log.name}: saw ${named(seen)} at ${revision}, which it had left behind`);
      continue;
    }
    const due = (truth.writes.get(revision) ?? []).filter((written) => log.wants(written));
    const isOrdered = truth.acknowledged.has(revision);
    if (textOf(due, isOrdered) === textOf(seen, isOrdered)) continue;
    problems.push(`${log.name}: was given ${named(seen)} at ${revision}, due was ${named(due)}`);
  }
  return problems;
}

function textOf(written: readonly Written[], isOrdered: boolean): string {
  const lines = written.map(({ key, value }) => `${key}=${value ?? ''}`);
  return (isOrdered ? lines : lines.sort()).join('\n');
}

interface KeyState {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** Versions, create revisions and previous values of all events, and the store in the end, against a replay of the truth. */
function storeProblems(
  logs: readonly WatchLog[],
  truth: Truth,
  { lastRevision, kvs }: { readonly lastRevision: number; readonly kvs: readonly KeyValue[] },
): string[] {
  const problems: string[] = [];
  const states = new Map<string, KeyState>();
  const doubts = new Doubts();
  for (let revision = 2; revision <= lastRevision; revision++) {
    for (const { key, value } of truth.writes.get(revision) ?? []) {
      const before = states.get(key);
      const version = (before?.version ?? 0) + 1;
      const createRevision = before?.createRevision ?? revision;
      if (value === undefined) states.delete(key);
      else states.set(key, { value, createRevision, modRevision: revision, version });
      const isSure = !doubts.has(key);
      if (value === undefined) doubts.settle(key);
      if (!isSure) continue;
      const due = value === undefined ? { createRevision: 0, version: 0 } : { createRevision, version };
      for (const log of logs) {
        const seen = log.at(revision).find((one) => one.key === key);
        if (seen === undefined) continue;
        const name = `${log.name}: ${key}@${revision}`;
        problems.push(...detailProblems(name, seen, due, log.shape.prevKv ? before : undefined));
      }
    }
    doubts.raise(truth.doubts.get(revision) ?? []);
  }
  const stored = new Map(kvs.map((kv) => [kv.key.toString('latin1'), kv]));
  for (const key of new Set([...states.keys(), ...stored.keys()])) {
    const [kv, state] = [stored.get(key), states.get(key)];
    if (doubts.has(key) || (kv?.modRevision === state?.modRevision && kv?.version === state?.version)) continue;
    problems.push(`the store holds ${key}@${kv?.modRevision} version ${kv?.version}, due was ${JSON.stringify(state)}`);
  }
  return problems;
}

/** Keys of whose state nobody can be sure, because a write that nobody saw in full may have changed them. */
class Doubts {
  /** Keys in doubt; with `#everything`, keys that are not. */
  #keys = new Set<string>();
  #everything = false;

  raise(keys: readonly string[] | 'everything'): void {
    if (keys === 'everything') {
      this.#everything = true;
      this.#keys.clear();
    } else for (const key of keys) this.#everything ? this.#keys.delete(key) : this.#keys.add(key);
  }

  /** A deletion leaves nothing to be unsure of. */
  settle(key: string): void {
    if (this.#everything) this.#keys.add(key);
    else this.#keys.delete(key);
  }

  has(key: string): boolean {
    return this.#keys.has(key) !== this.#everything;
  }
}

function detailProblems(
  name: string,
  seen: Seen,
  due: { readonly createRevision: number; readonly version: number },
  before: KeyState | undefined,
): string[] {
  const problems: string[] = [];
  if (seen.createRevision !== due.createRevision)
    problems.push(`${name} is created at ${seen.createRevision}, due was ${due.createRevision}`);
  if (seen.version !== due.version) problems.push(`${name} is version ${seen.version}, due was ${due.version}`);
  const { previous } = seen;
  // What was before may have been compacted away; what is given must be right.
  if (previous !== undefined && (previous.value !== before?.value || previous.modRevision !== before.modRevision)) {
    problems.push(`${name} follows ${JSON.stringify(previous)}, due was ${JSON.stringify(before)}`);
  }
  return problems;
}

function named(written: readonly Written[]): string {
  const text = written.map(({ key, value }) => (value === undefined ? `-${key}` : `${key}=${value}`)).join(' ');
  return written.length === 0 ? 'nothing' : text.slice(0, 200);
}
