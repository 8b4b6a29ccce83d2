/**
 * Who is told what, and when. The hub hears of every transaction inside apply and gives its events at once to the
 * watchers that are synced; the others are read the history from the rows, in slices, until they are.
 *
 * | place | meaning | leaves to |
 * |---|---|---|
 * | synced | given everything that concerns it up to the store's revision | held, when its stream is full as something happens |
 * | behind | misses something from `next` on, waits for slices | synced, when a slice reaches the store's revision |
 * | held | misses something from `next` on, its stream is full | behind, when the stream has drained |
 *
 * What is given to a stream is taken, but once it says that it is full it is given nothing more: what happens then is
 * not kept for it, but read from the rows when it has drained. So a client that does not read costs the limit of its
 * stream and one slice, however far it falls behind; and when compaction overtakes it, it is told so, never skipped.
 *
 * The hub outlives stores. When a snapshot of the leader takes a store's place, every watcher goes on from its own
 * next revision in the new one.
 */
import { type Clock, type Counter, invariant, type Meter } from '@quorate/base';
import type { ScanLimits } from './row-store.ts';
import type { Store } from './store.ts';
import type { Change, ChangeListener } from './types.ts';
import { encodedEvents, WatchEvent } from './watch-events.ts';
import { type StreamHost, type Watcher, type WatchSink, WatchStream } from './watch-stream.ts';
import { WatcherGroup } from './watcher-group.ts';

/** What one slice of catching up reads: some milliseconds of work. A single revision is never split, however big. */
const sliceDefault: ScanLimits = { rowsMax: 1000, sizeBytes: 512 * 1024 };

/** What a hub needs from the world. */
export interface WatchHubOptions {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly slice?: ScanLimits | undefined;
  /** Told when reading history met an error the process must not survive. */
  readonly onFatal: (error: unknown) => void;
}

/** All watchers of a member. */
export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #slice: ScanLimits;
  readonly #synced = new WatcherGroup<Watcher>();
  readonly #behind = new WatcherGroup<Watcher>();
  /** Streams whose request for progress waits for an answer. */
  readonly #awaiting = new Set<WatchStream>();
  readonly #events: Counter;
  readonly #host: StreamHost;
  readonly #listener: ChangeListener = (revision, changes) => this.#notify(revision, changes);
  #store: Store | undefined;
  #detach: (() => void) | undefined;
  #revision = 0;
  #streamCount = 0;
  #pendingCount = 0;
  #watcherCount = 0;
  #sliceIsDue = false;
  /** Slices begin with the watcher that is furthest behind and with the one that is least so in turn. */
  #fromFurthest = true;

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#slice = options.slice ?? sliceDefault;
    this.#host = this.#asHost();
    const { meter } = options;
    const gauge = (name: string, help: string, read: () => number): void => meter.observedGauge({ name, help }, read);
    gauge('etcd_debugging_mvcc_watch_stream_total', 'Open watch streams.', () => this.#streamCount);
    gauge('etcd_debugging_mvcc_watcher_total', 'Watchers.', () => this.#watcherCount);
    gauge('etcd_debugging_mvcc_slow_watcher_total', 'Watchers that are not synced.', () => this.slowCount);
    gauge(
      'etcd_debugging_mvcc_pending_events_total',
      'Events given to streams that have taken no more since.',
      () => this.#pendingCount,
    );
    this.#events = meter.counter({
      name: 'etcd_debugging_mvcc_events_total',
      help: 'Events given to watchers.',
    });
  }

  /** Watchers that miss something. */
  get slowCount(): number {
    return this.#watcherCount - this.#synced.size;
  }

  get watcherCount(): number {
    return this.#watcherCount;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  /** Serves from `store` from now on; its revision must not be behind what watchers were given. */
  attach(store: Store): void {
    this.detach();
    const given = this.#revision;
    invariant(store.currentRevision >= given, 'the store is behind its watchers', {
      revision: store.currentRevision,
      given,
    });
    this.#store = store;
    this.#revision = store.currentRevision;
    this.#detach = store.onChanges(this.#listener);
    if (this.#revision > given) this.#fallBehind(given);
    this.#wake();
  }

  /** Reads nothing any more until the next {@link attach}; watchers stay. */
  detach(): void {
    this.#detach?.();
    this.#detach = undefined;
    this.#store = undefined;
  }

  /** A new stream, whose watchers are given to `sink`. */
  open(sink: WatchSink): WatchStream {
    this.#streamCount++;
    return new WatchStream(this.#host, sink);
  }

  #asHost(): StreamHost {
    const revision = (): number => this.#revision;
    return {
      get revision() {
        return revision();
      },
      enter: (watcher) => this.#enter(watcher),
      leave: (watcher) => this.#leave(watcher),
      release: (stream) => this.#release(stream),
      progressWanted: (stream) => {
        this.#awaiting.add(stream);
        this.#answerProgress();
      },
      streamClosed: (stream) => {
        this.#forgetPending(stream);
        this.#streamCount--;
        this.#awaiting.delete(stream);
      },
    };
  }

  /** Inside apply: `changes` are those of `revision`, the store's since a moment ago. */
  #notify(revision: number, changes: readonly Change[]): void {
    this.#revision = revision;
    if (this.#synced.size > 0) {
      const touched: Watcher[] = [];
      for (const change of changes) this.#collect({ group: this.#synced, from: 0 }, change, touched);
      for (const watcher of touched) {
        if (watcher.place === 'gone') continue;
        if (watcher.stream.blocked) this.#hold(watcher, revision);
        else this.#give(watcher);
      }
    }
    if (this.#awaiting.size > 0) this.#answerProgress();
  }

  /** Adds the event of `change` to what those of its watchers are about to be given whose next is at least `from`. */
  #collect(
    { group, from }: { readonly group: WatcherGroup<Watcher>; readonly from: number },
    change: Change,
    touched: Watcher[],
  ): void {
    let event: WatchEvent | undefined;
    group.match(change.key, (watcher) => {
      if (watcher.next < from || watcher.next > change.modRevision || !watcher.wants(change.type)) return;
      event ??= new WatchEvent(change, () => this.#store?.recordAt(change.key, change.modRevision - 1));
      if (watcher.pending.length === 0) touched.push(watcher);
      watcher.pending.push(event);
    });
  }

  /** Gives a watcher its pending events. */
  #give(watcher: Watcher): void {
    const { pending, stream } = watcher;
    const events = encodedEvents(pending, watcher.prevKv);
    this.#events.add(pending.length);
    pending.length = 0;
    watcher.wasGiven = true;
    if (stream.sink.events(watcher, { revision: this.#revision, events })) return;
    stream.block();
    // A sink may end its watchers while it is given something.
    if (watcher.place === 'gone') return;
    stream.pendingCount += events.length;
    this.#pendingCount += events.length;
  }

  /** A synced watcher misses `revision`, because its stream is full. */
  #hold(watcher: Watcher, revision: number): void {
    watcher.pending.length = 0;
    watcher.next = revision;
    this.#move(watcher, 'held');
  }

  #enter(watcher: Watcher): void {
    this.#watcherCount++;
    this.#synced.add(watcher);
    if (watcher.next > this.#revision) return;
    this.#move(watcher, watcher.stream.blocked ? 'held' : 'behind');
    this.#wake();
  }

  #leave(watcher: Watcher): void {
    this.#watcherCount--;
    watcher.pending.length = 0;
    this.#move(watcher, 'gone');
    if (this.#awaiting.size > 0) this.#answerProgress();
  }

  #move(watcher: Watcher, place: Watcher['place']): void {
    const { stream, place: before } = watcher;
    if (before === 'synced') this.#synced.remove(watcher);
    else if (before === 'behind') this.#behind.remove(watcher);
    else if (before === 'held') stream.held.delete(watcher);
    if (place === 'synced') this.#synced.add(watcher);
    else if (place === 'behind') this.#behind.add(watcher);
    else if (place === 'held') stream.held.add(watcher);
    const isBehind = (one: Watcher['place']): boolean => one === 'behind' || one === 'held';
    stream.behindCount += Number(isBehind(place)) - Number(isBehind(before));
    watcher.place = place;
  }

  #release(stream: WatchStream): void {
    this.#forgetPending(stream);
    for (const watcher of [...stream.held]) this.#move(watcher, 'behind');
    this.#wake();
    if (this.#awaiting.size > 0) this.#answerProgress();
  }

  #forgetPending(stream: WatchStream): void {
    this.#pendingCount -= stream.pendingCount;
    stream.pendingCount = 0;
  }

  /** The store is ahead of what synced watchers were given, which is everything up to `given`. */
  #fallBehind(given: number): void {
    for (const watcher of [...this.#synced]) {
      watcher.next = Math.max(watcher.next, given + 1);
      if (watcher.next <= this.#revision) this.#move(watcher, watcher.stream.blocked ? 'held' : 'behind');
    }
  }

  /** Makes sure that a slice follows while somebody is behind. */
  #wake(): void {
    if (this.#sliceIsDue || this.#behind.size === 0 || this.#store === undefined) return;
    this.#sliceIsDue = true;
    this.#options.clock.soon(() => {
      this.#sliceIsDue = false;
      try {
        this.#catchUp();
      } catch (error) {
        // A timer called us: there is nobody above to throw to.
        this.#options.onFatal(error);
      }
    });
  }

  /** One slice: reads a stretch of history and gives it to everybody whose next revision lies in it. */
  #catchUp(): void {
    const store = this.#store;
    if (store === undefined) return;
    this.#cancelCompacted(store.compactRevision);
    const from = this.#sliceStart();
    if (from !== undefined) {
      const { changes, through } = store.changesFrom(from, this.#slice);
      this.#giveStretch(changes, { from, through });
    }
    if (this.#awaiting.size > 0) this.#answerProgress();
    this.#wake();
  }

  #cancelCompacted(compactRevision: number): void {
    for (const watcher of this.#behind) {
      if (watcher.next >= compactRevision) continue;
      // Told first: without the watcher its stream may be current, and progress must not be answered before.
      watcher.stream.sink.compacted(watcher, compactRevision);
      watcher.stream.remove(watcher);
    }
  }

  /** Where the next slice begins; undefined when nobody is behind. */
  #sliceStart(): number | undefined {
    let furthest = Number.POSITIVE_INFINITY;
    let nearest = 0;
    for (const { next } of this.#behind) {
      furthest = Math.min(furthest, next);
      nearest = Math.max(nearest, next);
    }
    if (nearest === 0) return undefined;
    this.#fromFurthest = !this.#fromFurthest;
    return this.#fromFurthest ? furthest : nearest;
  }

  #giveStretch(changes: readonly Change[], { from, through }: { from: number; through: number }): void {
    const touched: Watcher[] = [];
    for (const change of changes) this.#collect({ group: this.#behind, from }, change, touched);
    for (const watcher of touched) {
      if (watcher.place !== 'behind') continue;
      if (watcher.stream.blocked) {
        watcher.pending.length = 0;
        this.#move(watcher, 'held');
      } else {
        watcher.next = through + 1;
        this.#give(watcher);
      }
    }
    // Whoever missed nothing in the stretch has come through it as well.
    for (const watcher of this.#behind) {
      if (watcher.next >= from && watcher.next <= through) watcher.next = through + 1;
      if (watcher.next > this.#revision) this.#move(watcher, 'synced');
    }
  }

  #answerProgress(): void {
    for (const stream of this.#awaiting) {
      if (stream.size > 0 && (stream.blocked || !stream.isCurrent())) continue;
      this.#awaiting.delete(stream);
      if (stream.size > 0) stream.sink.progress(this.#revision);
    }
  }
}
