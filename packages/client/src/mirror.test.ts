import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Mirror } from './mirror.ts';
import { MiniCluster } from './testing/mini-cluster.ts';

describe('a mirror', () => {
  test('is the keys at one revision and every change after, however large pages are and whatever happens meanwhile', async () => {
    const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e', '-a', '-b', '-c');
    await fc.assert(
      fc.asyncProperty(
        fc.record({ before: fc.array(keys, { maxLength: 12 }), during: fc.array(keys, { maxLength: 6 }) }),
        fc.record({ after: fc.array(keys, { maxLength: 6 }), pageKeys: fc.integer({ min: 1, max: 4 }) }),
        async ({ before, during }, { after, pageKeys }) => {
          const cluster = new MiniCluster();
          const client = cluster.client();
          let count = 0;
          const change = async (name: string): Promise<void> => {
            count += 1;
            if (name.startsWith('-')) await client.kv.delete(`m/${name.slice(1)}`);
            else cluster.put(`m/${name}`, String(count));
            cluster.put('outside', String(count));
          };
          for (const name of before) await change(name);
          const copy = new Map<string, string>();
          const mirror = new Mirror(client, { prefix: 'm/', pageKeys });
          const left = [...during];
          for await (const page of mirror.base()) {
            expect(page.length).toBeLessThanOrEqual(pageKeys);
            for (const kv of page) copy.set(kv.key.toString(), kv.value.toString());
            if (left.length > 0) await change(left.shift()!);
          }
          const updates = mirror.updates();
          const read = async (): Promise<void> => {
            for await (const update of updates) {
              if (update.kind !== 'events') continue;
              for (const { type, kv } of update.events) {
                if (type === 1) copy.delete(kv!.key.toString());
                else copy.set(kv!.key.toString(), kv!.value.toString());
              }
            }
          };
          const reading = read();
          for (const name of after) await change(name);
          await cluster.clock.run(10);
          updates.cancel();
          await reading;
          const { outside: _outside, ...expected } = cluster.state;
          expect(Object.fromEntries(copy)).toEqual(expected);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('may begin at a revision, and has to be read before it can be followed otherwise', async () => {
    const cluster = new MiniCluster();
    cluster.put('a', '1');
    cluster.put('a', '2');
    const client = cluster.client();
    expect(() => new Mirror(client).updates()).toThrow('the base has to be read before the updates');
    const updates = new Mirror(client, { revision: 2 }).updates();
    expect(await updates.next()).toMatchObject({ value: { events: [{ kv: { modRevision: 3 } }] } });
    updates.cancel();
    const empty = new Mirror(client, { prefix: 'none' });
    for await (const _page of empty.base()) expect.unreachable();
    expect(empty.revision).toBe(3);
  });

  test('whose revision is compacted away says so', async () => {
    const cluster = new MiniCluster();
    for (const key of ['a', 'b', 'c']) cluster.put(key, '1');
    const base = new Mirror(cluster.client(), { pageKeys: 1 }).base();
    await base.next();
    cluster.put('a', '2');
    cluster.compact();
    await expect(base.next()).rejects.toMatchObject({ code: 'compacted' });
  });
});
