/**
 * Watchers and the streams they share, as a client sees them: ids, creating, cancelling, progress. What comes when is
 * decided in watch-hub.ts.
 */
import { invariant, type Key } from '@quorate/base';
import { unbounded } from './interval-tree.ts';
import type { WatchEvent } from './watch-events.ts';

/** What a watcher is to watch. */
export interface WatchOptions {
  /** 0n lets the stream choose. */
  readonly id: bigint;
  readonly key: Key;
  /** Absent or empty: just `key`; `'\0'`: no upper bound. */
  readonly end?: Key | undefined;
  /** First revision whose events are wanted; 0 means the next one. */
  readonly startRevision: number;
  readonly noPut?: boolean | undefined;
  readonly noDelete?: boolean | undefined;
  /** Events carry the key's previous record, as far as compaction has left it. */
  readonly prevKv?: boolean | undefined;
}

/** Why a watcher cannot be. */
export type WatchRefusal = 'emptyRange' | 'duplicateId' | 'compacted';

/** What a watcher is given at once: whole revisions, in order. */
export interface WatchBatch {
  /** The store's revision at the time of delivery; not below that of any event. */
  readonly revision: number;
  /** Encoded events. Watchers that are given the very same may share the list. */
  readonly events: readonly Buffer[];
}

/** Where a stream's answers go. Whatever is given is taken, in order. */
export interface WatchSink {
  /** False: taken, but give no more events before {@link WatchStream.resume}. */
  events(watcher: Watcher, batch: WatchBatch): boolean;
  /** Compaction has passed what the watcher still had to see; it is gone. */
  compacted(watcher: Watcher, compactRevision: number): void;
  /** Answers a request for progress: all events of all watchers up to `revision` have been given. */
  progress(revision: number): void;
}

/**
 * Where a watcher stands. `synced`: it has been given everything and hears of changes as they happen; `behind`: it
 * will be read the history from `next` on; `held`: as behind, but its stream takes nothing at the moment.
 */
export type WatcherPlace = 'synced' | 'behind' | 'held' | 'gone';

/** One watch. */
export class Watcher {
  readonly id: bigint;
  readonly key: Key;
  readonly end: Key | undefined;
  readonly prevKv: boolean;
  readonly stream: WatchStream;
  readonly #noPut: boolean;
  readonly #noDelete: boolean;
  place: WatcherPlace = 'synced';
  /** First revision it has not been given. Of a synced watcher: nothing below concerns it, more may have passed. */
  next: number;
  /** Whether it was given events since somebody last set this to false. */
  wasGiven = false;
  /** Events collected for the next delivery. */
  readonly pending: WatchEvent[] = [];

  constructor(stream: WatchStream, id: bigint, options: WatchOptions, next: number) {
    this.stream = stream;
    this.id = id;
    this.key = options.key;
    const { end } = options;
    if (end === undefined || end === '') this.end = undefined;
    else this.end = end === '\0' ? unbounded : end;
    this.prevKv = options.prevKv === true;
    this.#noPut = options.noPut === true;
    this.#noDelete = options.noDelete === true;
    this.next = next;
  }

  /** Whether it was given everything up to the store's `revision`, and that is not before the one it waits for. */
  isCurrent(revision: number): boolean {
    return this.place === 'synced' && this.next <= revision + 1;
  }

  /** Whether its filters let the event through. */
  wants(type: 'put' | 'delete'): boolean {
    return type === 'put' ? !this.#noPut : !this.#noDelete;
  }
}

/** What a stream needs of the hub. */
export interface StreamHost {
  readonly revision: number;
  /** A new watcher is to be placed. */
  enter(watcher: Watcher): void;
  /** A watcher is to be forgotten. */
  leave(watcher: Watcher): void;
  /** The stream takes events again: its held watchers may catch up. */
  release(stream: WatchStream): void;
  /** A request for progress came, or may be answered by now. */
  progressWanted(stream: WatchStream): void;
  streamClosed(stream: WatchStream): void;
}

/** The watchers of one client's stream, under ids of their own. */
export class WatchStream {
  readonly sink: WatchSink;
  readonly #host: StreamHost;
  readonly #watchers = new Map<bigint, Watcher>();
  #nextId = 0n;
  /** No revision before this one can be answered to a request for progress. */
  #currentFrom = 0;
  #closed = false;
  #blocked = false;
  /** Watchers that are not synced. */
  behindCount = 0;
  /** Events of the delivery that filled it, until it takes events again. */
  pendingCount = 0;
  /** Watchers that missed something while the stream was blocked. */
  readonly held: Set<Watcher> = new Set();

  constructor(host: StreamHost, sink: WatchSink) {
    this.#host = host;
    this.sink = sink;
  }

  /** The store's revision. */
  get revision(): number {
    return this.#host.revision;
  }

  get size(): number {
    return this.#watchers.size;
  }

  /** The sink takes no events at the moment. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Begins to watch. Nothing is given to the sink before the caller's turn is over, or the caller writes. */
  watch(options: WatchOptions): Watcher | WatchRefusal {
    invariant(!this.#closed, 'watch on a closed stream');
    const { key, end, startRevision } = options;
    if (startRevision < 0) return 'compacted';
    if (end !== undefined && end !== '' && end !== '\0' && key >= end) return 'emptyRange';
    if (this.#watchers.has(options.id) && options.id !== 0n) return 'duplicateId';
    const next = startRevision === 0 ? this.revision + 1 : startRevision;
    const watcher = new Watcher(this, this.#idFor(options.id), options, next);
    this.#watchers.set(watcher.id, watcher);
    this.#host.enter(watcher);
    return watcher;
  }

  /** The watcher of an id. */
  find(id: bigint): Watcher | undefined {
    return this.#watchers.get(id);
  }

  /** Ends a watcher: it is given nothing more, and its id is free. Fine when it has ended before. */
  remove(watcher: Watcher): void {
    if (watcher.place === 'gone') return;
    this.#watchers.delete(watcher.id);
    this.#currentFrom = 0;
    this.#host.leave(watcher);
  }

  /**
   * Asks for {@link WatchSink.progress} as soon as every watcher has been given everything up to the store's revision,
   * maybe at once. Without watchers there is no answer.
   */
  requestProgress(): void {
    this.#host.progressWanted(this);
  }

  /** Whether every watcher has been given everything there is, and none waits for a revision to come. */
  isCurrent(): boolean {
    if (this.behindCount > 0 || this.revision < this.#currentFrom) return false;
    for (const { next } of this.#watchers.values()) {
      // Remembered, so that not every revision on the way has to look through all watchers again.
      if (next > this.revision + 1) this.#currentFrom = Math.max(this.#currentFrom, next - 1);
    }
    return this.revision >= this.#currentFrom;
  }

  /** The sink takes no events before {@link resume}. */
  block(): void {
    this.#blocked = true;
  }

  /** The sink takes events again. */
  resume(): void {
    if (!this.#blocked || this.#closed) return;
    this.#blocked = false;
    this.#host.release(this);
  }

  /** Ends all watchers. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watcher of [...this.#watchers.values()]) this.remove(watcher);
    this.#host.streamClosed(this);
  }

  #idFor(asked: bigint): bigint {
    if (asked !== 0n) return asked;
    while (this.#watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }
}
