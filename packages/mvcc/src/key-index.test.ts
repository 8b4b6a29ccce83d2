import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { none, VersionTable } from './key-index.ts';

interface Naive {
  main: number;
  sub: number;
  tombstone: boolean;
  created: number;
  version: number;
}

/** Builds a chain from a history of puts (true) and deletes (false), and the same naively. */
function build(table: VersionTable, history: readonly boolean[]): { newest: number; naive: Naive[] } {
  let newest = none;
  const naive: Naive[] = [];
  history.forEach((put, i) => {
    const main = 2 + i * 3;
    const last = naive.at(-1);
    const alive = last !== undefined && !last.tombstone;
    if (!put && !alive) return;
    const id = table.take();
    if (put) table.setPut(id, main, i % 4, newest);
    else table.setTombstone(id, main, i % 4, newest);
    const generation = alive ? { created: last.created, version: last.version + 1 } : { created: main, version: 1 };
    naive.push({ main, sub: i % 4, tombstone: !put, ...(put ? generation : { created: 0, version: 0 }) });
    newest = id;
  });
  return { newest, naive };
}

function describeVersion(table: VersionTable, id: number): Naive | undefined {
  if (id === none) return undefined;
  return {
    main: table.main(id),
    sub: table.sub(id),
    tombstone: table.isTombstone(id),
    created: table.created(id),
    version: table.version(id),
  };
}

describe('VersionTable', () => {
  test('follows generations and finds the version at every revision', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 40 }), (history) => {
        const table = new VersionTable();
        const { newest, naive } = build(table, history);
        for (let at = 0; at < history.length * 3 + 4; at++) {
          const found = describeVersion(table, table.at(newest, at));
          expect(found).toEqual(naive.findLast((v) => v.main <= at));
        }
        expect(table.size).toBe(naive.length);
      }),
    );
  });

  test('etcd’s example: put put delete put delete makes two generations', () => {
    const table = new VersionTable();
    const { newest } = build(table, [true, true, false, true, false]);
    const versions: string[] = [];
    for (let id = newest; id !== none; id = table.older(id)) {
      versions.push(table.isTombstone(id) ? 't' : `${table.created(id)}:${table.version(id)}`);
    }
    expect(versions.reverse()).toEqual(['2:1', '2:2', 't', '11:1', 't']);
  });

  test('freed ids are used again, and freeing twice is a broken invariant', () => {
    const table = new VersionTable();
    const ids = Array.from({ length: 20_000 }, (_, i) => {
      const id = table.take();
      table.setPut(id, i + 2, 0, none);
      return id;
    });
    for (const id of ids) table.free(id);
    expect(table.size).toBe(0);
    expect(() => table.free(ids[0]!)).toThrow('version freed twice');
    const again = new Set(Array.from({ length: 20_000 }, () => table.take()));
    expect(again).toEqual(new Set(ids));
  });

  test('numbers beyond 32 bits are kept exactly', () => {
    const table = new VersionTable();
    const id = table.take();
    const generation = { created: 2 ** 53 - 9, version: 2 ** 40 };
    table.setRestoredPut(id, 2 ** 53 - 1, 2 ** 32 - 1, none, generation);
    expect(describeVersion(table, id)).toEqual({
      main: 2 ** 53 - 1,
      sub: 2 ** 32 - 1,
      tombstone: false,
      ...generation,
    });
    const end = table.take();
    table.setTombstone(end, 2 ** 53 - 1, 2 ** 32 - 1, id);
    expect(describeVersion(table, end)).toMatchObject({ sub: 2 ** 32 - 1, tombstone: true });
  });

  test('a revision of a key with 20,000 versions is found in a few steps, put by put or loaded', () => {
    const table = new CountingTable();
    const count = 20_000;
    const chains = [none, none];
    for (let i = 1; i <= count; i++) {
      for (const loaded of [0, 1]) {
        const id = table.take();
        if (loaded === 0) table.setPut(id, 3 * i, 0, chains[loaded]!);
        else {
          table.setRestoredPut(id, 3 * i, 0, none, { created: 3, version: i });
          if (chains[loaded] !== none) table.chain(id, chains[loaded]!);
        }
        chains[loaded] = id;
      }
    }
    for (const newest of chains) {
      table.looks = 0;
      for (let i = 1; i <= count; i += 100) expect(table.main(table.at(newest, 3 * i + 1))).toBe(3 * i);
      // A walk along the chain looks at 10,000 versions each time.
      expect(table.looks / (count / 100)).toBeLessThan(300);
    }
  });

  test('finds every revision that is left when the old end of a chain is compacted and its ids are taken again', () => {
    const life = fc.record({ puts: fc.integer({ min: 1, max: 60 }), keep: fc.integer({ min: 1, max: 40 }) });
    fc.assert(
      fc.property(fc.array(life, { minLength: 1, maxLength: 6 }), (lives) => {
        const table = new VersionTable();
        // Two keys share the ids, each chain oldest first.
        const chains: number[][] = [[], []];
        let main = 1;
        for (const { puts, keep } of lives) {
          for (let i = 0; i < puts; i++) {
            for (const chain of chains) {
              const id = table.take();
              table.setPut(id, ++main, 0, chain.at(-1) ?? none);
              chain.push(id);
            }
          }
          for (const chain of chains) {
            for (const id of chain.splice(0, Math.max(0, chain.length - keep))) table.free(id);
            table.cut(chain[0]!);
          }
          for (const chain of chains) {
            for (let at = table.main(chain[0]!); at <= main; at++) {
              const id = table.at(chain.at(-1)!, at);
              expect(id).toBe(chain.findLast((kept) => table.main(kept) <= at));
            }
          }
        }
      }),
    );
  });
});

/** Counts the versions looked at. */
class CountingTable extends VersionTable {
  looks = 0;

  override main(id: number): number {
    this.looks++;
    return super.main(id);
  }
}
