/** The store against a naive model, through any sequence of operations, restarts and crashes. */
import { buckets } from '@quorate/backend';
import { KvError } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decode, Fixture, text } from './testing/fixture.ts';
import { Model, type ModelWrite, recordOf, rowKeyOf } from './testing/model.ts';
import type { RangeOptions, ReadTxn } from './types.ts';

const longKey = 'k'.repeat(200);
const key = fc.constantFrom('\0', '\0\0', 'a', 'a\0', 'ab', 'b', 'ba', 'c', '\xfe', '\xff', '\xff\xff', longKey);
const end = fc.oneof(key, fc.constantFrom('', '', '\0', '\0'));
const put = fc.record({ key, value: fc.string({ maxLength: 5 }), lease: fc.constantFrom(0n, 0n, 7n, 2n ** 64n - 1n) });
const write: fc.Arbitrary<ModelWrite> = fc.oneof(
  { weight: 4, arbitrary: put.map((p) => ({ put: p })) },
  { weight: 2, arbitrary: fc.record({ key, end }).map((d) => ({ deleteRange: d })) },
);
const range = fc.record({
  key,
  end,
  /** Per cent of the way from just compacted to just future; 0 and −1 are asked for as they are. */
  revision: fc.oneof(fc.constantFrom(0, -1), fc.integer({ min: 1, max: 100 })),
  limit: fc.constantFrom(0, -1, 1, 2, 3, 100),
  countOnly: fc.boolean(),
  descending: fc.boolean(),
});
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.array(write, { minLength: 1, maxLength: 4 }).map((writes) => ({ do: 'txn' as const, writes })),
  },
  { weight: 6, arbitrary: range.map((r) => ({ do: 'range' as const, ...r })) },
  {
    weight: 3,
    arbitrary: fc.integer({ min: -10, max: 110 }).map((at) => ({ do: 'compact' as const, at })),
  },
  { weight: 5, arbitrary: fc.constant({ do: 'tick' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'crash' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  { weight: 2, arbitrary: fc.nat(100).map((at) => ({ do: 'hash' as const, at })) },
  { weight: 1, arbitrary: fc.constant({ do: 'pin' as const }) },
  { weight: 3, arbitrary: range.map((r) => ({ do: 'readPinned' as const, ...r })) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Range = typeof range extends fc.Arbitrary<infer T> ? T : never;

/** The store, the model beside it, and the model as it was when the backend last committed. */
class Pair {
  committed = new Model();
  model = new Model();
  pinned: { txn: ReadTxn; revision: number } | undefined;
  leases = new Map<string, bigint>();
  readonly fixture: Fixture;

  constructor(fixture: Fixture) {
    this.fixture = fixture;
    this.watchCommits();
    fixture.options = {
      ...fixture.options,
      leases: {
        leaseOf: (k) => this.leases.get(k) ?? 0n,
        attach: (lease, k) => this.leases.set(k, lease),
        detach: (lease, k) => {
          expect(this.leases.get(k)).toBe(lease);
          this.leases.delete(k);
        },
      },
    };
  }

  async run(step: Step): Promise<void> {
    const { fixture, model } = this;
    switch (step.do) {
      case 'txn':
        return this.txn(step.writes);
      case 'range':
        return this.range(fixture.store.read(), step, model.current);
      case 'compact':
        return this.compact(Math.round((model.current * step.at) / 100) + 0);
      case 'tick':
        fixture.clock.step();
        return microtasks();
      case 'commit':
        return fixture.commit();
      case 'crash':
        this.model = this.committed.clone();
        this.forgetSession();
        await fixture.crash();
        this.watchCommits();
        return this.compareState();
      case 'restart':
        fixture.store.close();
        fixture.clock.forget();
        await fixture.commit();
        this.forgetSession();
        await fixture.reopen();
        return this.compareState();
      case 'hash':
        return this.hash(Math.round((model.current * step.at) / 100) + 0);
      case 'pin':
        this.pinned = { txn: fixture.store.read(), revision: model.current };
        return;
      case 'readPinned':
        if (this.pinned !== undefined) this.range(this.pinned.txn, step, this.pinned.revision);
        return;
    }
  }

  /** Keeps the model of what each commit takes; the compactor commits too, when it is through. */
  watchCommits(): void {
    const { backend } = this.fixture;
    const commit = backend.commit.bind(backend);
    backend.commit = () => {
      this.committed = this.model.clone();
      return commit();
    };
  }

  txn(writes: readonly ModelWrite[]): void {
    const { fixture, model } = this;
    const before = model.clone();
    const txn = fixture.store.write();
    writes.forEach((one, i) => {
      // All writes so far carry one revision: the model does them again, together.
      const after = before.clone();
      const counts = after.write(writes.slice(0, i + 1));
      if (one.put !== undefined) {
        expect(txn.put(one.put.key, Buffer.from(one.put.value), one.put.lease)).toBe(before.current + 1);
      } else {
        expect(txn.deleteRange(one.deleteRange!.key, one.deleteRange!.end)).toBe(counts.at(-1));
      }
      expect(txn.revision).toBe(after.current);
      expect(txn.changed).toBe(after.current > before.current);
      expect(text(txn.range('\0', '\0').rows)).toBe(text(after.alive('\0', '\0', after.current).map(recordOf)));
      // Nobody else sees any of it yet.
      expect(fixture.store.read().range('\0', '\0').count).toBe(before.alive('\0', '\0', before.current).length);
    });
    model.write(writes);
    txn.end();
    expect(fixture.store.currentRevision).toBe(model.current);
  }

  range(txn: ReadTxn, r: Range, newest: number): void {
    const { model } = this;
    const low = Math.max(model.compacted, 0);
    const revision =
      r.revision <= 0 ? r.revision : Math.max(1, Math.round(low - 1 + ((newest + 2 - low) * r.revision) / 100));
    const options: RangeOptions = { revision, limit: r.limit, countOnly: r.countOnly, descending: r.descending };
    const at = revision <= 0 ? newest : revision;
    const error = at > newest ? 'futureRev' : at < model.compacted ? 'compacted' : undefined;
    if (error !== undefined) {
      expect(() => txn.range(r.key, r.end, options)).toThrow(new KvError(error));
      return;
    }
    const alive = model.alive(r.key, r.end, at);
    const ordered = r.descending ? alive.toReversed() : alive;
    const limited = r.limit > 0 && r.end !== '' ? ordered.slice(0, r.limit) : ordered;
    const { rows, ...rest } = txn.range(r.key, r.end, options);
    expect(text(rows)).toBe(text(r.countOnly ? [] : limited.map(recordOf)));
    const next = r.countOnly ? undefined : ordered[limited.length]?.key;
    expect(rest).toEqual({ count: alive.length, revision: newest, next });
  }

  compact(revision: number): void {
    const { fixture, model } = this;
    const error = revision <= model.compacted ? 'compacted' : revision > model.current ? 'futureRev' : undefined;
    if (error !== undefined) {
      expect(() => fixture.store.compact(revision)).toThrow(new KvError(error));
      return;
    }
    fixture.store.compact(revision);
    model.compacted = revision;
    expect(fixture.store.compactRevision).toBe(revision);
  }

  async hash(revision: number): Promise<void> {
    const { fixture, model } = this;
    const hashing = fixture.store.hashKv(revision);
    const at = revision === 0 ? model.current : revision;
    if (at < model.compacted) {
      await expect(hashing).rejects.toThrow(new KvError('compacted'));
      return;
    }
    const hash = await fixture.clock.settle(hashing);
    await microtasks();
    expect(hash).toEqual({ hash: model.hash(at), hashRevision: at, compactRevision: model.compacted });
  }

  compareState(): void {
    const { store } = this.fixture;
    const { model } = this;
    expect(store.currentRevision).toBe(model.current);
    expect(store.compactRevision).toBe(model.compacted);
    const alive = model.alive('\0', '\0', model.current);
    expect(store.keyCount).toBe(alive.length);
    expect(new Map([...this.leases].sort())).toEqual(
      new Map(
        alive
          .filter((v) => v.lease !== 0n)
          .map((v) => [v.key, v.lease] as const)
          .sort(),
      ),
    );
  }

  /**
   * Lets all compaction finish, then compares rows and index with the model and with an index rebuilt from the rows.
   */
  async finish(): Promise<void> {
    const { fixture, model } = this;
    fixture.clock.drain();
    this.compareState();
    for (let at = Math.max(model.compacted, 1); at <= model.current; at++) {
      const { rows } = fixture.store.read().range('\0', '\0', { revision: at });
      expect(text(rows)).toBe(text(model.alive('\0', '\0', at).map(recordOf)));
    }
    const rows = fixture.backend.range(buckets.key, { from: '' });
    expect(rows.map((row) => row.key)).toEqual(model.retained().map((v) => rowKeyOf(v).toString('latin1')));
    const live = [...fixture.store.dumpIndex()];
    this.forgetSession();
    await fixture.reopen();
    expect([...fixture.store.dumpIndex()]).toEqual(live);
    this.compareState();
    expect(fixture.fatals).toEqual([]);
  }

  forgetSession(): void {
    this.pinned = undefined;
    this.leases.clear();
  }
}

/** Lets a commit that was begun come to its end. */
async function microtasks(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe('Store', () => {
  test('does what the naive model does, at every revision, through compactions, restarts and crashes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(step, { maxLength: 60, size: 'max' }),
        async (batchLimit, steps) => {
          const fixture = await Fixture.open({ compaction: { batchLimit } });
          const pair = new Pair(fixture);
          await fixture.reopen();
          for (const one of steps) await pair.run(one);
          await pair.finish();
        },
      ),
      { numRuns: 400 },
    );
  }, 60_000);
});

test('decoding a stored row gives what was put', async () => {
  const f = await Fixture.open();
  f.put('a', 'x', 2n ** 63n);
  expect(decode(f.store.read().range('a', '').rows)).toEqual([
    { key: Buffer.from('a'), createRevision: 2, modRevision: 2, version: 1, value: Buffer.from('x'), lease: 2n ** 63n },
  ]);
});
