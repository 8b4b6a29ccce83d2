/**
 * What every Backend must do, as tests: call {@link testBackend} with a way to make a factory. Random sequences are compared with a
 * model that knows nothing of layers, transactions or files.
 */
import type { Key } from '@quorate/base';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Backend, BackendFactory, BackendView, Commit, Row, RowRange } from './backend.ts';
import { allBuckets, type Bucket, buckets } from './buckets.ts';
import { keyLengthMax } from './buffered-backend.ts';
import { HurriedClock } from './testing/hurried-clock.ts';
import { SeenRows } from './testing/seen-rows.ts';

/** A factory under test, on an empty place of its own. */
export interface FactoryFixture {
  readonly factory: BackendFactory;
  /** Removes what it left behind. */
  dispose(): Promise<void>;
}

export interface ConformanceOptions {
  readonly makeFactory: () => Promise<FactoryFixture>;
  /** Random sequences to try, and the most operations of one. */
  readonly sequenceCount: number;
  readonly sequenceLengthMax: number;
}

/** Declares the suite. */
export function testBackend(name: string, options: ConformanceOptions): void {
  // Generous: a busy disk may take its time for each of some hundred commits.
  describe(name, { timeout: 30_000 }, () => {
    let fixture: FactoryFixture;
    let backend: Backend;

    beforeEach(async () => {
      fixture = await options.makeFactory();
      backend = await fixture.factory.open('db');
    });

    afterEach(async () => {
      await fixture.dispose();
    });

    describe('staged changes', () => {
      test('are read at once, before and after they are committed', async () => {
        backend.put(buckets.key, 'a', bytes('1'));
        expect(read(backend, 'a')).toBe('1');
        expect(backend.stagedCount).toBe(1);
        const { done } = backend.commit();
        expect(read(backend, 'a')).toBe('1');
        expect(backend.stagedCount).toBe(0);
        await done;
        expect(read(backend, 'a')).toBe('1');
      });

      test('hide committed rows, and removals hide them altogether', async () => {
        for (const key of ['a', 'b', 'c']) backend.put(buckets.key, key, bytes('old'));
        await backend.commit().done;
        backend.put(buckets.key, 'b', bytes('new'));
        backend.remove(buckets.key, 'c');
        expect(read(backend, 'c')).toBeUndefined();
        expect(show(backend.range(buckets.key, { from: '' }))).toEqual(['a=old', 'b=new']);
        expect(show(backend.range(buckets.key, { from: '', reverse: true }))).toEqual(['b=new', 'a=old']);
      });

      test('put, removed and put again keep the last put (etcd issue 17230)', async () => {
        backend.put(buckets.key, 'k', bytes('1'));
        backend.remove(buckets.key, 'k');
        backend.put(buckets.key, 'k', bytes('2'));
        expect(show(backend.range(buckets.key, { from: '' }))).toEqual(['k=2']);
        await backend.commit().done;
        expect(show(backend.range(buckets.key, { from: '' }))).toEqual(['k=2']);
      });

      test('count once a key, with the bytes of key and last value', () => {
        backend.put(buckets.key, 'ab', bytes('12345'));
        backend.put(buckets.key, 'ab', bytes('123'));
        backend.put(buckets.lease, 'ab', bytes(''));
        backend.remove(buckets.key, 'xyz');
        expect(backend.stagedCount).toBe(3);
        expect(backend.stagedBytes).toBe(2 + 3 + 2 + 3);
        backend.remove(buckets.key, 'ab');
        expect(backend.stagedBytes).toBe(2 + 2 + 3);
      });

      test('come from one bucket only', async () => {
        for (const bucket of allBuckets) backend.put(bucket, 'k', bytes(bucket.name));
        const check = (): void => {
          for (const bucket of allBuckets) {
            expect(show(backend.range(bucket, { from: '' }))).toEqual([`k=${bucket.name}`]);
            expect(show(backend.range(bucket, { from: '', reverse: true, limit: 9 }))).toEqual([`k=${bucket.name}`]);
          }
        };
        check();
        await backend.commit().done;
        check();
      });
    });

    describe('rows', () => {
      test('keep every byte of keys and values, empty ones too', async () => {
        const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        const keys = ['', '\0', '\0\0', '\xff', '\xff\xff', everyByte.toString('latin1'), 'k'.repeat(keyLengthMax)];
        for (const key of keys) backend.put(buckets.auth, key, everyByte);
        backend.put(buckets.authUsers, 'empty', Buffer.alloc(0));
        await backend.commit().done;
        for (const key of keys) expect(backend.get(buckets.auth, key)).toEqual(everyByte);
        expect(backend.get(buckets.authUsers, 'empty')).toEqual(Buffer.alloc(0));
        const found = backend.range(buckets.auth, { from: '' }).map((row) => row.key);
        expect(found).toEqual([...keys].sort(byByte));
        expect(backend.range(buckets.authUsers, { from: '' })).toEqual([{ key: 'empty', value: Buffer.alloc(0) }]);
      });

      test('of megabytes come back whole, from get, range and view', async () => {
        const sizes = [4095, 4096, 70_000, 1_572_864, 18_000_000];
        sizes.forEach((size, i) => {
          backend.put(buckets.key, String(i), Buffer.alloc(size, i + 1));
        });
        const view = await backend.openView();
        const ranged = backend.range(buckets.key, { from: '' });
        const viewed = view.range(buckets.key, { from: '' });
        sizes.forEach((size, i) => {
          const expected = Buffer.alloc(size, i + 1);
          for (const value of [backend.get(buckets.key, String(i)), ranged[i]?.value, viewed[i]?.value]) {
            expect(value?.equals(expected)).toBe(true);
          }
        });
        view.close();
      });

      test('are shown one by one until it is enough, whatever their size', async () => {
        const sizes = [0, 3, 4096, 70_000, 1_572_864, 2];
        sizes.forEach((size, i) => {
          backend.put(buckets.key, String(i), Buffer.alloc(size, i + 1));
        });
        await backend.commit().done;
        const expected = sizes.map((size, i) => ({ key: String(i), value: Buffer.alloc(size, i + 1) }));
        expect(visited(backend, buckets.key, { from: '' })).toEqual(expected);
        const keys: Key[] = [];
        backend.visit(buckets.key, { from: '1' }, ({ key }) => keys.push(key) < 3);
        expect(keys).toEqual(['1', '2', '3']);
        expect(() =>
          backend.visit(buckets.key, { from: '' }, () => {
            throw new Error('seen enough');
          }),
        ).toThrow('seen enough');
        // Values are copies again for everyone else.
        const kept = backend.get(buckets.key, '1')!;
        const rows = backend.range(buckets.key, { from: '' });
        expect(rows).toEqual(expected);
        expect(kept).toEqual(expected[1]!.value);
      });

      test('belong to the reader: later reads and changes to them change nothing', async () => {
        backend.put(buckets.key, 'a', bytes('first'));
        backend.put(buckets.key, 'b', bytes('second'));
        await backend.commit().done;
        const a = backend.get(buckets.key, 'a')!;
        const [row] = backend.range(buckets.key, { from: 'a', limit: 1 });
        backend.get(buckets.key, 'b');
        backend.range(buckets.key, { from: '' });
        expect(a.toString()).toBe('first');
        expect(row!.value.toString()).toBe('first');
        a.fill(0);
        row!.value.fill(0);
        expect(read(backend, 'a')).toBe('first');
      });

      test('longer keys than the store takes are refused, and never found', () => {
        const tooLong = 'k'.repeat(keyLengthMax + 1);
        expect(() => backend.put(buckets.key, tooLong, bytes(''))).toThrow('too long');
        expect(() => backend.remove(buckets.key, tooLong)).toThrow('too long');
        expect(backend.get(buckets.key, tooLong)).toBeUndefined();
      });

      test('are bounded by keys longer than any that is stored', async () => {
        const longest = 'k'.repeat(keyLengthMax);
        backend.put(buckets.key, longest, bytes('1'));
        backend.put(buckets.key, 'l', bytes('2'));
        await backend.commit().done;
        expect(show(backend.range(buckets.key, { from: `${longest}\0` }))).toEqual(['l=2']);
        expect(backend.range(buckets.key, { from: '', to: `${longest}\0` })).toHaveLength(1);
        expect(backend.range(buckets.key, { from: '', to: `${longest}\0`, reverse: true })).toHaveLength(1);
        expect(show(backend.range(buckets.key, { from: `${longest}\0`, reverse: true }))).toEqual(['l=2']);
      });
    });

    describe('commits', () => {
      test('with nothing staged wait for those before', async () => {
        await Promise.all(Object.values(backend.commit()));
        backend.put(buckets.key, 'a', bytes('1'));
        const order: string[] = [];
        const first = backend.commit();
        const second = backend.commit();
        await Promise.all([
          first.done.then(() => order.push('first')),
          second.done.then(() => order.push('second')),
          second.durable,
        ]);
        expect(order).toEqual(['first', 'second']);
      });

      test('asked for during one take what is staged when their turn comes', async () => {
        backend.put(buckets.key, 'a', bytes('1'));
        const first = backend.commit();
        const second = backend.commit();
        backend.put(buckets.key, 'b', bytes('2'));
        expect(backend.stagedCount).toBe(1);
        await first.done;
        await second.durable;
        expect(backend.stagedCount).toBe(0);
      });

      test('take what is staged: later changes wait for the next', async () => {
        backend.put(buckets.key, 'a', bytes('1'));
        const { durable } = backend.commit();
        backend.put(buckets.key, 'a', bytes('2'));
        backend.remove(buckets.key, 'b');
        expect([backend.stagedCount, read(backend, 'a')]).toEqual([2, '2']);
        await durable;
        expect([backend.stagedCount, read(backend, 'a')]).toEqual([2, '2']);
      });

      test('of very many changes are one batch', async () => {
        const count = 320_000;
        for (let i = 0; i < count; i++) backend.put(buckets.key, revisionKey(i), oneByte);
        await backend.commit().durable;
        expect(backend.range(buckets.key, { from: revisionKey(count - 2) })).toHaveLength(2);
        for (let i = 0; i < count; i++) backend.remove(buckets.key, revisionKey(i));
        await backend.commit().durable;
        expect(backend.range(buckets.key, { from: '' })).toEqual([]);
      });
    });

    describe('views', () => {
      test('show what was staged when they were asked for', async () => {
        backend.put(buckets.key, 'a', bytes('1'));
        const view = await backend.openView();
        expect(show(view.range(buckets.key, { from: '' }))).toEqual(['a=1']);
        view.close();
      });

      test('stay as they are while commits run', async () => {
        const before = Array.from({ length: 300 }, (_, i) => `${String(i).padStart(3, '0')}=old`);
        for (const row of before) backend.put(buckets.key, row.slice(0, 3), bytes('old'));
        const view = await backend.openView();
        for (let round = 0; round < 10; round++) {
          for (let i = round; i < 300; i += 10) {
            if (round % 2 === 0) backend.remove(buckets.key, before[i]!.slice(0, 3));
            else backend.put(buckets.key, before[i]!.slice(0, 3), Buffer.alloc(3_000));
          }
          const { done } = backend.commit();
          expect(show(view.range(buckets.key, { from: '' }))).toEqual(before);
          await done;
          expect(show(view.range(buckets.key, { from: '', reverse: true }))).toEqual([...before].reverse());
        }
        view.close();
        expect(backend.range(buckets.key, { from: '' })).toHaveLength(150);
      });

      test('are released when they close: many more can be opened than the store takes at once', async () => {
        const views: BackendView[] = [];
        for (let i = 0; i < 160; i++) {
          backend.put(buckets.meta, 'i', bytes(String(i)));
          const view = await backend.openView();
          views.push(view);
          if (views.length === 20) views.shift()!.close();
          expect(show(view.range(buckets.meta, { from: '' }))).toEqual([`i=${i}`]);
          expect(read(backend, 'i', buckets.meta)).toBe(String(i));
        }
        views.forEach((view, i) => {
          expect(show(view.range(buckets.meta, { from: '' }))).toEqual([`i=${141 + i}`]);
        });
        for (const view of views) view.close();
        for (const view of views) view.close();
      });

      test('closed by hand or with their backend refuse to read', async () => {
        const closed = await backend.openView();
        closed.close();
        expect(() => closed.range(buckets.key, { from: '' })).toThrow('closed');
        const open = await backend.openView();
        await backend.close();
        expect(() => open.range(buckets.key, { from: '' })).toThrow('closed');
        open.close();
      });
    });

    describe('sizes', () => {
      test('grow with rows; what is in use shrinks when rows go, the file does not', async () => {
        const empty = backend.sizeInUseBytes();
        for (let i = 0; i < 2_000; i++) backend.put(buckets.key, revisionKey(i), Buffer.alloc(300, 1));
        expect(backend.sizeInUseBytes()).toBe(empty);
        await backend.commit().done;
        const full = { size: backend.sizeBytes(), inUse: backend.sizeInUseBytes() };
        expect(full.inUse).toBeGreaterThan(empty + 2_000 * 300);
        expect(full.inUse).toBeLessThan(empty + 2_000 * 500);
        expect(full.size).toBeGreaterThanOrEqual(full.inUse);
        for (let i = 0; i < 1_800; i++) {
          backend.remove(buckets.key, revisionKey(i));
          if (i % 100 === 99) await backend.commit().done;
        }
        expect(backend.sizeInUseBytes()).toBeLessThan(full.inUse / 4);
        expect(backend.sizeBytes()).toBeGreaterThanOrEqual(full.size);
      });

      test('use free pages before the file grows', async () => {
        const fill = async (): Promise<void> => {
          for (let i = 0; i < 3_000; i++) backend.put(buckets.key, revisionKey(i), Buffer.alloc(300, 1));
          await backend.commit().done;
        };
        await fill();
        for (let i = 0; i < 3_000; i++) backend.remove(buckets.key, revisionKey(i));
        await backend.commit().done;
        backend.put(buckets.meta, 'm', oneByte);
        await backend.commit().done;
        const before = { size: backend.sizeBytes(), inUse: backend.sizeInUseBytes() };
        await fill();
        expect(backend.sizeInUseBytes()).toBeGreaterThan(before.inUse + 3_000 * 300);
        expect(backend.sizeBytes()).toBeLessThan(before.size * 1.2);
      });
    });

    describe('closing and opening', () => {
      test('keeps everything, staged changes included', async () => {
        backend.put(buckets.key, 'a', bytes('1'));
        await backend.commit().done;
        backend.put(buckets.key, 'b', bytes('2'));
        await backend.commit().done;
        const sizes = [backend.sizeBytes(), backend.sizeInUseBytes()];
        backend.put(buckets.key, 'b', bytes('3'));
        await backend.close();
        backend = await fixture.factory.open('db');
        expect(show(backend.range(buckets.key, { from: '' }))).toEqual(['a=1', 'b=3']);
        expect(backend.sizeBytes()).toBeGreaterThanOrEqual(sizes[0]!);
        expect(backend.sizeInUseBytes()).toBeGreaterThanOrEqual(sizes[1]!);
      });

      test('a closed backend refuses everything', async () => {
        await backend.close();
        const calls: (() => unknown)[] = [
          () => backend.get(buckets.key, 'a'),
          () => backend.range(buckets.key, { from: '' }),
          () => backend.visit(buckets.key, { from: '' }, () => true),
          () => backend.put(buckets.key, 'a', oneByte),
          () => backend.remove(buckets.key, 'a'),
          () => backend.commit(),
          () => backend.sizeBytes(),
          () => backend.close(),
        ];
        for (const call of calls) expect(call).toThrow('closed');
        await expect(backend.openView()).rejects.toThrow('closed');
      });

      test('closing waits for commits under way', async () => {
        const finished: string[] = [];
        backend.put(buckets.key, 'a', bytes('1'));
        const first = backend.commit().durable.then(() => finished.push('first'));
        const second = backend.commit().durable.then(() => finished.push('second'));
        backend.put(buckets.key, 'b', bytes('2'));
        await backend.close();
        expect(finished).toEqual(['first', 'second']);
        await Promise.all([first, second]);
      });
    });

    test('whoever sees the keys’ rows while a store is opened is shown all in order, as they are committed, or none and no end', async () => {
      for (let i = 0; i < 500; i++) {
        backend.put(buckets.key, `key ${(i * 7) % 500}`, Buffer.alloc((i * 37) % 9_000, i));
        backend.put(buckets.lease, `lease ${i}`, bytes('other'));
        if (i % 100 === 0) await backend.commit().done;
      }
      for (let i = 0; i < 500; i += 3) backend.remove(buckets.key, `key ${i}`);
      await backend.commit().done;
      await backend.close();
      const seen = new SeenRows();
      backend = await fixture.factory.open('db', seen);
      const all = backend.range(buckets.key, { from: '' });
      expect(all.length).toBe(333);
      expect(seen).toEqual(seen.ends === 0 ? new SeenRows() : { rows: all, ends: 1 });
    });

    describe('the factory', () => {
      test('opens a store once at a time', async () => {
        await expect(fixture.factory.open('db')).rejects.toThrow('open already');
        await expect(fixture.factory.remove('db')).rejects.toThrow('open already');
        await expect(fixture.factory.replace('db', 'other')).rejects.toThrow('open already');
        await expect(fixture.factory.replace('other', 'db')).rejects.toThrow('open already');
        await backend.close();
        backend = await fixture.factory.open('db');
        expect(backend.range(buckets.key, { from: '' })).toEqual([]);
      });

      test('tells what exists, and removes it', async () => {
        const { factory } = fixture;
        expect([await factory.exists('db'), await factory.exists('db.next')]).toEqual([true, false]);
        backend.put(buckets.key, 'a', oneByte);
        await backend.close();
        await factory.remove('db');
        await factory.remove('db');
        expect(await factory.exists('db')).toBe(false);
        const fresh = await factory.open('db');
        expect(fresh.range(buckets.key, { from: '' })).toEqual([]);
        await fresh.close();
      });

      test('puts one store in the place of another, or of none', async () => {
        const { factory } = fixture;
        backend.put(buckets.key, 'old', oneByte);
        await backend.close();
        const next = await factory.open('db.next');
        next.put(buckets.key, 'new', oneByte);
        await next.close();
        await factory.replace('db.next', 'db');
        expect([await factory.exists('db'), await factory.exists('db.next')]).toEqual([true, false]);
        await factory.replace('db', 'db.moved');
        const moved = await factory.open('db.moved');
        expect(moved.range(buckets.key, { from: '' }).map((row) => row.key)).toEqual(['new']);
        await moved.close();
        await expect(factory.replace('absent', 'db')).rejects.toThrow('cannot rename backend');
      });
    });

    testRandomSequences(options);
  });
}

/** Declares the random part alone. `QUORATE_CONFORMANCE_SCALE` multiplies the number of sequences. */
export function testRandomSequences({ makeFactory, sequenceCount, sequenceLengthMax }: ConformanceOptions): void {
  const scale = Number(process.env['QUORATE_CONFORMANCE_SCALE'] ?? 1);
  const sequences = fc.array(operation, { maxLength: sequenceLengthMax, size: 'max' });
  const followModel = async (operations: readonly Operation[]): Promise<void> => {
    const { factory, dispose } = await makeFactory();
    try {
      const run = new ModelRun(factory);
      await run.start();
      for (const step of operations) await run.do(step);
      await run.finish();
    } finally {
      await dispose();
    }
  };
  const timeoutMs = 60_000 * scale;
  test('random sequences do what a plain map does', { timeout: timeoutMs }, async () => {
    await fc.assert(fc.asyncProperty(sequences, followModel), { numRuns: sequenceCount * scale });
  });
}

type Operation =
  | { readonly do: 'put'; readonly bucket: Bucket; readonly key: Key; readonly value: Buffer }
  | { readonly do: 'remove'; readonly bucket: Bucket; readonly key: Key }
  | { readonly do: 'append'; readonly count: number; readonly value: Buffer }
  | { readonly do: 'get'; readonly bucket: Bucket; readonly key: Key }
  | { readonly do: 'range' | 'viewRange'; readonly bucket: Bucket; readonly range: RowRange }
  | { readonly do: 'defragment' | 'commit' | 'turn' | 'settle' | 'openView' | 'closeView' | 'reopen' };

const someBucket = fc.constantFrom(buckets.meta, buckets.lease, buckets.key);
const someKey = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: fc.constantFrom('\0', 'a', 'b', '\x7f', '\x80', '\xff'), maxLength: 3 }) },
  { weight: 3, arbitrary: fc.nat(60).map(revisionKey) },
  { weight: 1, arbitrary: fc.constantFrom('b', '\xff').map((byte) => byte.repeat(keyLengthMax)) },
);
const someValue = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array)) },
  { weight: 2, arbitrary: fc.nat(9_000).map((size) => Buffer.alloc(size, size)) },
);
const someRange: fc.Arbitrary<RowRange> = fc.record(
  { from: someKey, to: someKey, limit: fc.nat(12), reverse: fc.boolean() },
  { requiredKeys: ['from'] },
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 36,
    arbitrary: fc.record({ do: fc.constant('put' as const), bucket: someBucket, key: someKey, value: someValue }),
  },
  { weight: 18, arbitrary: fc.record({ do: fc.constant('remove' as const), bucket: someBucket, key: someKey }) },
  { weight: 9, arbitrary: fc.record({ do: fc.constant('append' as const), count: fc.nat(40), value: someValue }) },
  { weight: 18, arbitrary: fc.record({ do: fc.constant('get' as const), bucket: someBucket, key: someKey }) },
  { weight: 30, arbitrary: fc.record({ do: fc.constant('range' as const), bucket: someBucket, range: someRange }) },
  { weight: 18, arbitrary: fc.record({ do: fc.constant('viewRange' as const), bucket: someBucket, range: someRange }) },
  { weight: 15, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 15, arbitrary: fc.constant({ do: 'turn' as const }) },
  { weight: 6, arbitrary: fc.constant({ do: 'settle' as const }) },
  { weight: 6, arbitrary: fc.constant({ do: 'openView' as const }) },
  { weight: 3, arbitrary: fc.constant({ do: 'closeView' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'defragment' as const }) },
);

type Model = Map<Bucket, Map<Key, Buffer>>;

/** One random sequence: the backend and the model side by side. */
class ModelRun {
  readonly #factory: BackendFactory;
  readonly #model: Model = new Map(allBuckets.map((bucket) => [bucket, new Map()]));
  readonly #views: { readonly view: BackendView; readonly model: Model }[] = [];
  #backend!: Backend;
  #commits: Commit[] = [];
  #defragmentations: Promise<unknown>[] = [];
  #appended = 0;

  constructor(factory: BackendFactory) {
    this.#factory = factory;
  }

  async start(): Promise<void> {
    this.#backend = await this.#factory.open('db');
  }

  async do(step: Operation): Promise<void> {
    const backend = this.#backend;
    switch (step.do) {
      case 'put':
        this.#put(step.bucket, step.key, step.value);
        break;
      case 'remove':
        backend.remove(step.bucket, step.key);
        this.#model.get(step.bucket)!.delete(step.key);
        break;
      case 'append':
        for (let i = 0; i < step.count; i++) this.#put(buckets.key, revisionKey(1_000 + this.#appended++), step.value);
        break;
      case 'get':
        expect(backend.get(step.bucket, step.key)).toEqual(this.#model.get(step.bucket)!.get(step.key));
        break;
      case 'range':
        expectRows(backend.range(step.bucket, step.range), rangeOf(this.#model, step.bucket, step.range));
        expectRows(visited(backend, step.bucket, step.range), rangeOf(this.#model, step.bucket, step.range));
        break;
      case 'viewRange':
        for (const { view, model } of this.#views) {
          expectRows(view.range(step.bucket, step.range), rangeOf(model, step.bucket, step.range));
        }
        break;
      case 'openView':
        if (this.#views.length < 5) this.#views.push({ view: await backend.openView(), model: copyOf(this.#model) });
        break;
      case 'closeView':
        this.#views.shift()?.view.close();
        break;
      case 'defragment':
        // Goes on during the steps that follow; reopening gives it up.
        this.#defragmentations.push(backend.defragment(new HurriedClock()));
        break;
      default:
        await this.#commitStep(step.do);
    }
    expect(this.#backend.sizeInUseBytes()).toBeLessThanOrEqual(this.#backend.sizeBytes());
  }

  async finish(): Promise<void> {
    this.#compareAll();
    await this.#commitStep('reopen');
    await Promise.all(this.#defragmentations);
    await this.#backend.close();
  }

  async #commitStep(step: 'commit' | 'turn' | 'settle' | 'reopen'): Promise<void> {
    if (step === 'turn') await new Promise((resolve) => setImmediate(resolve));
    if (step === 'commit') this.#commits.push(this.#backend.commit());
    if (step === 'settle') {
      await Promise.all(this.#commits.flatMap(({ done, durable }) => [done, durable]));
      this.#commits = [];
      await Promise.all(this.#defragmentations);
      this.#defragmentations = [];
    }
    if (step === 'reopen') {
      this.#views.length = 0;
      await this.#backend.close();
      this.#backend = await this.#factory.open('db');
      this.#compareAll();
    }
  }

  #put(bucket: Bucket, key: Key, value: Buffer): void {
    this.#backend.put(bucket, key, value);
    this.#model.get(bucket)!.set(key, value);
  }

  #compareAll(): void {
    for (const bucket of allBuckets) {
      expectRows(this.#backend.range(bucket, { from: '' }), rangeOf(this.#model, bucket, { from: '' }));
    }
  }
}

function rangeOf(model: Model, bucket: Bucket, { from, to, limit, reverse }: RowRange): Row[] {
  const rows = [...model.get(bucket)!]
    .filter(([key]) => key >= from && (to === undefined || key < to))
    .sort(([a], [b]) => byByte(a, b))
    .map(([key, value]) => ({ key, value }));
  if (reverse === true) rows.reverse();
  return rows.slice(0, limit ?? rows.length);
}

function copyOf(model: Model): Model {
  return new Map([...model].map(([bucket, rows]) => [bucket, new Map(rows)]));
}

/** Deep equality of the test runner, asked only when the quick comparison found a difference: it is slow on bytes. */
function expectRows(found: readonly Row[], expected: readonly Row[]): void {
  const same = (row: Row, i: number): boolean => row.key === expected[i]!.key && row.value.equals(expected[i]!.value);
  if (found.length !== expected.length || !found.every(same)) expect(found).toEqual(expected);
}

const oneByte = Buffer.of(1);

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function read(backend: Backend, key: Key, bucket: Bucket = buckets.key): string | undefined {
  return backend.get(bucket, key)?.toString('latin1');
}

function visited(backend: Backend, bucket: Bucket, range: RowRange): Row[] {
  const rows: Row[] = [];
  backend.visit(bucket, range, ({ key, value }) => rows.push({ key, value: Buffer.from(value) }) > 0);
  return rows;
}

function show(rows: readonly Row[]): string[] {
  return rows.map(({ key, value }) => `${key}=${value.toString('latin1')}`);
}

function byByte(a: Key, b: Key): number {
  return Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'));
}

/** A key shaped like those of revisions: ascending with `i`. */
function revisionKey(i: number): Key {
  return `${'\0'.repeat(4)}${String.fromCharCode((i >>> 24) & 255, (i >>> 16) & 255, (i >>> 8) & 255, i & 255)}_${'\0'.repeat(8)}`;
}
