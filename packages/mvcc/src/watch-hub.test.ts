import type { Key } from '@quorate/base';
import { type Meter, silentMeter } from '@quorate/base';
import { Event, EventEventType } from '@quorate/proto';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Fixture } from './testing/fixture.ts';
import type { Change } from './types.ts';
import { WatchHub } from './watch-hub.ts';
import type { WatchBatch, Watcher, WatchOptions, WatchSink, WatchStream } from './watch-stream.ts';

interface Given {
  readonly events: readonly Event[];
  readonly revision: number;
  readonly compactRevision: number;
}

/** A stream that remembers what it was given, and is full whenever `takes` says so. */
class Recorder implements WatchSink {
  readonly given = new Map<Watcher, Given[]>();
  readonly compactedAt = new Map<Watcher, number>();
  readonly progressed: number[] = [];
  readonly stream: WatchStream;
  readonly #compactRevision: () => number;
  onProgress: (revision: number) => void = () => {};
  takes: () => boolean = () => true;

  constructor(hub: WatchHub, compactRevision: () => number) {
    this.stream = hub.open(this);
    this.#compactRevision = compactRevision;
  }

  watch(options: Partial<WatchOptions> & { readonly key: Key }): Watcher {
    const watcher = this.stream.watch({ id: 0n, startRevision: 0, ...options });
    if (typeof watcher === 'string') throw new Error(watcher);
    this.given.set(watcher, []);
    return watcher;
  }

  events(watcher: Watcher, { revision, events }: WatchBatch): boolean {
    expect(this.stream.blocked).toBe(false);
    expect(watcher.place).not.toBe('gone');
    const decoded = events.map((bytes) => Event.decode(bytes));
    this.given.get(watcher)!.push({ events: decoded, revision, compactRevision: this.#compactRevision() });
    return this.takes();
  }

  compacted(watcher: Watcher, compactRevision: number): void {
    this.compactedAt.set(watcher, compactRevision);
  }

  progress(revision: number): void {
    this.progressed.push(revision);
    this.onProgress(revision);
  }

  /** `revision:key` of every event, with a minus for deletes; batches apart. */
  lines(watcher: Watcher): string[] {
    return this.given.get(watcher)!.map(({ events }) => events.map(lineOf).join(' '));
  }
}

function lineOf({ type, kv }: Event): string {
  return `${kv!.modRevision}:${type === EventEventType.DELETE ? '-' : ''}${kv!.key.toString('latin1')}`;
}

let fixture: Fixture;
let hub: WatchHub;
beforeEach(async () => {
  await begin();
});

async function begin(): Promise<void> {
  fixture = await Fixture.open({ compaction: { batchLimit: 2, sleepMs: 1 } });
  const slice = { rowsMax: 4, sizeBytes: 200 };
  hub = new WatchHub({
    clock: fixture.clock,
    meter: silentMeter,
    slice,
    onFatal: (error) => fixture.fatals.push(error),
  });
  hub.attach(fixture.store);
}

function record(): Recorder {
  return new Recorder(hub, () => fixture.store.compactRevision);
}

describe('a synced watcher', () => {
  test('is given events at once, those of a revision together', () => {
    const sink = record();
    const watcher = sink.watch({ key: 'a', end: 'c' });
    const txn = fixture.store.write();
    txn.put('a', Buffer.from('1'), 0n);
    txn.put('b', Buffer.from('2'), 0n);
    txn.put('c', Buffer.from('3'), 0n);
    txn.end();
    fixture.delete('a');
    expect(sink.lines(watcher)).toEqual(['2:a 2:b', '3:-a']);
  });

  test('is spared what its filters exclude', () => {
    const sink = record();
    const puts = sink.watch({ key: 'a', noDelete: true });
    const deletes = sink.watch({ key: 'a', noPut: true });
    fixture.put('a');
    fixture.delete('a');
    expect([sink.lines(puts), sink.lines(deletes)]).toEqual([['2:a'], ['3:-a']]);
  });

  test('shares the encoded event with all others', () => {
    const lists: (readonly Buffer[])[] = [];
    const sink: WatchSink = {
      events: (_, { events }) => lists.push(events) > 0,
      compacted: () => {},
      progress: () => {},
    };
    hub.open(sink).watch({ id: 0n, key: 'a', startRevision: 0 });
    hub.open(sink).watch({ id: 0n, key: 'a', end: '\0', startRevision: 0 });
    fixture.put('a');
    expect(lists).toHaveLength(2);
    expect(lists[0]).toBe(lists[1]);
  });

  test('hears of the future when it comes', () => {
    const sink = record();
    const watcher = sink.watch({ key: 'a', startRevision: 4 });
    for (let i = 0; i < 3; i++) fixture.put('a');
    fixture.clock.drain();
    expect(sink.lines(watcher)).toEqual(['4:a']);
  });
});

describe('a watcher of the past', () => {
  test('gets what happened since, and goes on', () => {
    for (let i = 0; i < 10; i++) fixture.put('a');
    const sink = record();
    const watcher = sink.watch({ key: 'a', startRevision: 3 });
    expect(hub.slowCount).toBe(1);
    fixture.clock.step();
    fixture.put('a');
    fixture.clock.drain();
    fixture.put('a');
    expect(sink.lines(watcher).join(' ')).toBe('3:a 4:a 5:a 6:a 7:a 8:a 9:a 10:a 11:a 12:a 13:a');
    expect(hub.slowCount).toBe(0);
  });

  test('gets a revision whole that is larger than any slice', () => {
    const txn = fixture.store.write();
    for (let i = 0; i < 50; i++) txn.put(`k${i}`, Buffer.alloc(50), 0n);
    txn.end();
    fixture.put('k');
    const sink = record();
    const watcher = sink.watch({ key: 'k', end: 'l', startRevision: 1 });
    fixture.clock.drain();
    expect(sink.given.get(watcher)!.map(({ events }) => events.length)).toEqual([50, 1]);
  });

  test('gets the delete at exactly the compact revision, before and after a restart', async () => {
    fixture.put('a');
    fixture.delete('a');
    fixture.put('b');
    fixture.store.compact(3);
    fixture.clock.drain();
    const sink = record();
    const before = sink.watch({ key: 'a', startRevision: 3 });
    fixture.clock.drain();
    hub.detach();
    await fixture.reopen();
    hub.attach(fixture.store);
    const after = sink.watch({ key: 'a', startRevision: 3, prevKv: true });
    fixture.clock.drain();
    expect([sink.lines(before), sink.lines(after)]).toEqual([['3:-a'], ['3:-a']]);
    expect(sink.given.get(after)![0]!.events[0]!.prevKv).toBeUndefined();
  });

  test('gets no previous record with a key that its transaction deleted and put again', () => {
    fixture.put('a');
    const sink = record();
    const watcher = sink.watch({ key: 'a', prevKv: true });
    const txn = fixture.store.write();
    txn.deleteRange('a', '');
    txn.put('a', Buffer.from('again'), 0n);
    txn.end();
    const [deleted, put] = sink.given.get(watcher)![0]!.events;
    expect([deleted!.prevKv?.modRevision, put!.prevKv]).toEqual([2, undefined]);
  });

  test('is told when compaction has passed its start', () => {
    for (let i = 0; i < 5; i++) fixture.put('a');
    fixture.store.compact(4);
    const sink = record();
    const watcher = sink.watch({ key: 'a', startRevision: 3 });
    expect(sink.compactedAt.size).toBe(0);
    fixture.clock.drain();
    expect([...sink.compactedAt]).toEqual([[watcher, 4]]);
    expect(sink.lines(watcher)).toEqual([]);
    expect(sink.stream.size).toBe(0);
  });
});

describe('a stream', () => {
  test('chooses ids that are free, from 0 on, and lets clients choose', () => {
    const { stream } = record();
    const ids = [0n, 1n, 0n, 0n, -5n].map((id) => stream.watch({ id, key: 'a', startRevision: 0 }));
    expect(ids.map((watcher) => (watcher as Watcher).id)).toEqual([0n, 1n, 2n, 3n, -5n]);
    expect(stream.watch({ id: 1n, key: 'b', startRevision: 0 })).toBe('duplicateId');
    stream.remove(stream.find(1n)!);
    expect(stream.watch({ id: 1n, key: 'b', startRevision: 0 })).toMatchObject({ id: 1n });
  });

  test.each([
    { options: { key: 'b', end: 'a' }, refusal: 'emptyRange' },
    { options: { key: 'b', end: 'b' }, refusal: 'emptyRange' },
    { options: { key: 'b', startRevision: -1 }, refusal: 'compacted' },
    { options: { key: 'b', end: 'a', startRevision: -1 }, refusal: 'compacted' },
    { options: { key: 'b', startRevision: -(2 ** 53 - 1) }, refusal: 'compacted' },
  ])('refuses $options as $refusal', ({ options, refusal }) => {
    expect(record().stream.watch({ id: 0n, startRevision: 0, ...options })).toBe(refusal);
  });

  test('that is full is given nothing until it resumes, then everything', () => {
    const full = record();
    full.takes = () => false;
    const slow = full.watch({ key: 'a' });
    const free = record();
    const quick = free.watch({ key: 'a' });
    for (let i = 0; i < 6; i++) fixture.put('a');
    fixture.clock.drain();
    expect(full.lines(slow)).toEqual(['2:a']);
    expect(free.lines(quick)).toHaveLength(6);
    full.takes = () => true;
    full.stream.resume();
    fixture.clock.drain();
    expect(full.lines(slow).join(' ')).toBe('2:a 3:a 4:a 5:a 6:a 7:a');
  });

  test('that is full while compaction passes is told so', () => {
    const full = record();
    full.takes = () => false;
    const slow = full.watch({ key: 'a' });
    for (let i = 0; i < 6; i++) fixture.put('a');
    fixture.store.compact(6);
    fixture.clock.drain();
    full.stream.resume();
    fixture.clock.drain();
    expect([...full.compactedAt]).toEqual([[slow, 6]]);
    expect(full.lines(slow)).toEqual(['2:a']);
  });

  test('may close in the middle of a delivery', () => {
    const sink = record();
    sink.takes = () => {
      sink.stream.close();
      return false;
    };
    sink.watch({ key: 'a' });
    sink.watch({ key: 'a' });
    fixture.put('a');
    fixture.put('a');
    expect([...sink.given.values()].flat()).toHaveLength(1);
    sink.stream.close();
    expect([hub.streamCount, hub.watcherCount, hub.slowCount]).toEqual([0, 0, 0]);
  });
});

describe('progress', () => {
  test('is told at once when everything was given, and never without watchers', () => {
    const sink = record();
    sink.stream.requestProgress();
    fixture.put('b');
    sink.watch({ key: 'a' });
    expect(sink.progressed).toEqual([]);
    sink.stream.requestProgress();
    expect(sink.progressed).toEqual([2]);
  });

  test('waits for the watchers that are behind, for a full stream and for the future', () => {
    for (let i = 0; i < 9; i++) fixture.put('a');
    const sink = record();
    const past = sink.watch({ key: 'a', startRevision: 2 });
    sink.takes = () => false;
    sink.stream.requestProgress();
    fixture.clock.drain();
    expect(sink.progressed).toEqual([]);
    sink.takes = () => true;
    sink.stream.resume();
    fixture.clock.drain();
    expect(sink.progressed).toEqual([10]);
    expect(sink.lines(past).join(' ')).toMatch(/^2:a .* 10:a$/);
    sink.watch({ key: 'b', startRevision: 13 });
    sink.stream.requestProgress();
    fixture.put('c');
    expect(sink.progressed).toEqual([10]);
    fixture.put('c');
    expect(sink.progressed).toEqual([10, 12]);
  });
});

test('metrics tell of streams, watchers, who is behind, what was given and what nobody reads', () => {
  const gauges = new Map<string, () => number>();
  let given = 0;
  const meter: Meter = {
    ...silentMeter,
    observedGauge: ({ name }, read) => gauges.set(name.replace(/^etcd_debugging_mvcc_|_total$/g, ''), read),
    counter: () => ({ add: (amount = 1) => (given += amount) }),
  };
  hub = new WatchHub({ clock: fixture.clock, meter, onFatal: (error) => fixture.fatals.push(error) });
  hub.attach(fixture.store);
  const figures = (): Record<string, number> =>
    Object.fromEntries([['events', given], ...[...gauges].map(([name, read]) => [name, read()] as const)]);
  const full = record();
  full.takes = () => false;
  full.watch({ key: 'a' });
  full.watch({ key: 'a', end: 'b' });
  record().watch({ key: 'a' });
  fixture.put('a');
  fixture.put('a');
  const streams = { watch_stream: 2, watcher: 3 };
  expect(figures()).toEqual({ ...streams, slow_watcher: 2, events: 3, pending_events: 1 });
  full.takes = () => true;
  full.stream.resume();
  fixture.clock.drain();
  expect(figures()).toEqual({ ...streams, slow_watcher: 0, events: 6, pending_events: 0 });
  full.takes = () => false;
  fixture.put('a');
  expect(figures()['pending_events']).toBe(1);
  full.stream.close();
  expect(figures()).toMatchObject({ watch_stream: 1, watcher: 1, slow_watcher: 0, pending_events: 0 });
});

test('B37: progress never passes what a watcher still had to see when compaction ended it', () => {
  for (let i = 0; i < 5; i++) fixture.put('a');
  fixture.store.compact(4);
  const told: string[] = [];
  const sink: WatchSink = {
    events: () => true,
    compacted: (_, revision) => told.push(`compacted ${revision}`),
    progress: (revision) => told.push(`progress ${revision}`),
  };
  const stream = hub.open(sink);
  stream.watch({ id: 1n, key: 'a', startRevision: 2 });
  stream.watch({ id: 2n, key: 'b', startRevision: 0 });
  stream.requestProgress();
  fixture.clock.drain();
  expect(told).toEqual(['compacted 4', 'progress 6']);
});

test('an error while history is read ends the process', () => {
  fixture.put('a');
  record().watch({ key: 'a', startRevision: 1 });
  fixture.store.close();
  fixture.clock.drain();
  expect(fixture.fatals).toHaveLength(1);
});

// ---- everything at once, against a list of what happened

const anyKey = fc.constantFrom('a', 'b', 'c', 'd');
const anyRange = fc.tuple(anyKey, fc.constantFrom('', 'c', 'e', '\0'));
const anyStep = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ write: fc.array(fc.tuple(anyRange, fc.boolean()), { minLength: 1, maxLength: 6 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      watch: fc.record({
        range: anyRange,
        stream: fc.nat(2),
        back: fc.integer({ min: -4, max: 25 }),
        noPut: fc.boolean(),
        noDelete: fc.boolean(),
        prevKv: fc.boolean(),
      }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ compact: fc.nat(12) }) },
  { weight: 3, arbitrary: fc.record({ resume: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ fullness: fc.tuple(fc.nat(2), fc.nat(3)) }) },
  { weight: 2, arbitrary: fc.record({ progress: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ swap: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ cancel: fc.nat(20) }) },
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

interface Asked {
  readonly sink: Recorder;
  readonly options: { readonly key: Key; readonly end: Key; readonly noPut: boolean; readonly noDelete: boolean };
  readonly prevKv: boolean;
  readonly from: number;
}

class World {
  readonly history: Change[] = [];
  readonly asked = new Map<Watcher, Asked>();
  readonly sinks: Recorder[];
  readonly cancelled = new Set<Watcher>();

  constructor() {
    // What happened is to be known before anybody is told.
    hub.detach();
    this.#observe();
    hub.attach(fixture.store);
    this.sinks = [record(), record(), record()];
    for (const sink of this.sinks) {
      sink.onProgress = (revision) => {
        for (const [watcher, asked] of this.asked) {
          if (asked.sink === sink && watcher.place !== 'gone') this.check(watcher, revision);
        }
      };
    }
  }

  async take(step: Step): Promise<void> {
    if ('write' in step) this.#write(step.write);
    else if ('watch' in step) this.#watch(step.watch);
    else if ('turns' in step) for (let i = 0; i < step.turns; i++) fixture.clock.step();
    else if ('compact' in step) this.#compact(step.compact);
    else if ('resume' in step) this.sinks[step.resume]!.stream.resume();
    else if ('fullness' in step) this.#fill(step.fullness[0], step.fullness[1]);
    else if ('progress' in step) this.sinks[step.progress]!.stream.requestProgress();
    else if ('cancel' in step) this.#cancel(step.cancel);
    else await this.#swap(step.swap);
  }

  /** Lets everybody catch up. */
  settle(): void {
    for (const sink of this.sinks) {
      sink.takes = () => true;
      sink.stream.resume();
    }
    fixture.clock.drain();
    expect(hub.slowCount).toBe(0);
    expect(fixture.fatals).toEqual([]);
  }

  /** What `watcher` was given is what it asked for, to the letter, up to `through` at least. */
  check(watcher: Watcher, through: number): void {
    const { sink, options, from } = this.asked.get(watcher)!;
    const batches = sink.given.get(watcher)!;
    const compactedAt = sink.compactedAt.get(watcher);
    const lines = batches.flatMap(({ events }) => events.map(lineOf));
    const expected = this.history.filter(
      ({ key, type, modRevision }) =>
        modRevision >= from &&
        (options.end === ''
          ? key === options.key
          : key >= options.key && (options.end === '\0' || key < options.end)) &&
        !(type === 'put' ? options.noPut : options.noDelete),
    );
    const last = batches.at(-1)?.events.at(-1)?.kv?.modRevision ?? 0;
    const isOver = compactedAt !== undefined || this.cancelled.has(watcher);
    const upTo = isOver ? last : Math.max(through, last);
    expect(lines).toEqual(
      expected
        .filter(({ modRevision }) => modRevision <= upTo)
        .map(({ type, key, modRevision }) => `${modRevision}:${type === 'delete' ? '-' : ''}${key}`),
    );
    // Nothing is cancelled that could still be read.
    if (compactedAt !== undefined) expect(Math.max(last + 1, from)).toBeLessThanOrEqual(compactedAt);
    let before = 0;
    for (const batch of batches) {
      const revisions = batch.events.map(({ kv }) => kv!.modRevision);
      expect(revisions[0]).toBeGreaterThan(before);
      before = revisions.at(-1)!;
      expect(batch.revision).toBeGreaterThanOrEqual(before);
      for (const event of batch.events) this.#checkPrevious(watcher, event, batch.compactRevision);
    }
  }

  #checkPrevious(watcher: Watcher, { type, kv, prevKv }: Event, compactRevision: number): void {
    const { key, modRevision, createRevision } = kv!;
    const earlier = this.history.findLast(
      (change) => change.key === key.toString('latin1') && change.modRevision < modRevision,
    );
    const isCreation = type === EventEventType.PUT && createRevision === modRevision;
    const isWanted = this.asked.get(watcher)!.prevKv && !isCreation && modRevision - 1 >= compactRevision;
    expect(prevKv?.modRevision).toBe(isWanted && earlier?.type === 'put' ? earlier.modRevision : undefined);
  }

  #observe(): void {
    fixture.store.onChanges((_, changes) => this.history.push(...changes));
  }

  #write(writes: readonly (readonly [readonly [Key, Key], boolean])[]): void {
    const txn = fixture.store.write();
    for (const [[key, end], isPut] of writes) {
      // Requests cannot change a key twice in one revision: compaction would keep the last change only.
      const again = txn.changes.some((change) => change.key === key || (!isPut && end !== ''));
      if (again) continue;
      if (isPut) txn.put(key, Buffer.from('value'), 0n);
      else txn.deleteRange(key, end);
    }
    txn.end();
  }

  #watch(wish: Extract<Step, { watch: unknown }>['watch']): void {
    const { range, stream, back, noPut, noDelete, prevKv } = wish;
    const [key, end] = range;
    const sink = this.sinks[stream]!;
    if (end !== '' && end !== '\0' && key >= end) return;
    const startRevision = Math.max(0, fixture.store.currentRevision + 1 - back);
    const watcher = sink.watch({ key, end, startRevision, noPut, noDelete, prevKv });
    const from = startRevision === 0 ? fixture.store.currentRevision + 1 : startRevision;
    this.asked.set(watcher, { sink, options: { key, end, noPut, noDelete }, prevKv, from });
  }

  #compact(back: number): void {
    const { store } = fixture;
    const revision = store.currentRevision - back;
    if (revision > store.compactRevision) store.compact(revision);
  }

  #fill(stream: number, every: number): void {
    let count = 0;
    this.sinks[stream]!.takes = () => every === 0 || ++count % every !== 0;
  }

  #cancel(nth: number): void {
    const watcher = [...this.asked.keys()][nth];
    if (watcher === undefined || watcher.place === 'gone') return;
    watcher.stream.remove(watcher);
    this.cancelled.add(watcher);
  }

  /** The store is replaced by one that is `ahead` revisions ahead, as by a snapshot. */
  async #swap(ahead: number): Promise<void> {
    hub.detach();
    for (let i = 0; i < ahead; i++) fixture.put(i % 2 === 0 ? 'a' : 'c');
    fixture.store.close();
    await fixture.reopen();
    this.#observe();
    hub.attach(fixture.store);
  }
}

test('whatever happens, each watcher gets each of its events once, in order, revisions whole, or is told of compaction', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 10, maxLength: 80 }), async (steps) => {
      await begin();
      const world = new World();
      for (const step of steps) await world.take(step);
      world.settle();
      for (const watcher of world.asked.keys()) world.check(watcher, fixture.store.currentRevision);
      for (const sink of world.sinks) sink.stream.close();
      expect([hub.watcherCount, hub.slowCount, hub.streamCount]).toEqual([0, 0, 0]);
    }),
    { numRuns: 300 },
  );
}, 60_000);
