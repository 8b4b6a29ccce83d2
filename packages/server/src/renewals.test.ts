import { MemoryBackendFactory } from '@quorate/backend';
import { type LeaseId, silentMeter } from '@quorate/base';
import { Lessor } from '@quorate/lease';
import { KvError } from '@quorate/proto';
import { expect, test } from 'vitest';
import type { ReadDone } from './read-index.ts';
import { Renewals } from './renewals.ts';
import { ManualClock } from './testing/manual-clock.ts';

async function setUp(granted: readonly LeaseId[]) {
  const clock = new ManualClock();
  const backend = await new MemoryBackendFactory().forProcess({}).open('db');
  const lessor = Lessor.open({ backend, clock, meter: silentMeter });
  for (const id of granted) lessor.grant(id, 60);
  lessor.promote(0);
  const confirms: ReadDone[] = [];
  const leading = { lessor: lessor as Lessor | undefined };
  const said: string[] = [];
  /** Every turn's number of answers. */
  const turns: number[] = [];
  const renewals = new Renewals({
    clock: {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
      after: (delayMs, fn) => clock.after(delayMs, fn),
      soon: (fn) =>
        clock.soon(() => {
          const before = said.length;
          fn();
          if (said.length > before) turns.push(said.length - before);
        }),
    },
    reads: { confirm: (done) => void confirms.push(done) },
    primary: () => leading.lessor,
    electionMs: 1_000,
  });
  const renew = (id: LeaseId): void =>
    renewals.add({
      id,
      renewed: (ttl) => void said.push(`${id} for ${ttl}`),
      failed: (error) => void said.push(`${id} ${error.code}`),
      undecided: () => void said.push(`${id} undecided`),
    });
  return { clock, lessor, confirms, leading, said, turns, renew };
}

test('what arrives in one turn shares a confirmation, and nothing is answered before it', async () => {
  const { clock, confirms, said, renew } = await setUp([1n, 2n]);
  renew(1n);
  renew(2n);
  renew(3n);
  clock.advance(1);
  expect([confirms.length, said]).toEqual([1, []]);
  confirms[0]!(undefined);
  clock.advance(1);
  expect(said).toEqual(['1 for 60', '2 for 60', '3 for 0']);
});

test('what arrives after a confirmation was asked for waits for another', async () => {
  const { clock, confirms, said, renew } = await setUp([1n, 2n]);
  renew(1n);
  clock.advance(1);
  renew(2n);
  confirms[0]!(undefined);
  clock.advance(1);
  expect([confirms.length, said]).toEqual([2, ['1 for 60']]);
  confirms[1]!(undefined);
  clock.advance(1);
  expect(said).toEqual(['1 for 60', '2 for 60']);
});

test('5,000 renewals take a turn for each 200, in the order in which they came, over several confirmations', async () => {
  const ids = Array.from({ length: 5_000 }, (_, i) => BigInt(i + 1));
  const { clock, confirms, said, turns, renew } = await setUp(ids);
  for (const id of ids.slice(0, 2_450)) renew(id);
  clock.advance(1);
  for (const id of ids.slice(2_450)) renew(id);
  clock.advance(1);
  for (const done of confirms) done(undefined);
  clock.advance(1);
  expect(said).toEqual(ids.map((id) => `${id} for 60`));
  expect(turns).toEqual(Array.from({ length: 25 }, () => 200));
});

test('a renewal whose majority is not reached fails with what was said of it', async () => {
  const { clock, confirms, said, renew } = await setUp([1n]);
  renew(1n);
  clock.advance(1);
  confirms[0]!(new KvError('timeout'));
  clock.advance(1);
  expect(said).toEqual(['1 timeout']);
});

test('a lease that ends, or one whose checkpoint stands, and any lease when leadership was lost are to be asked for in full', async () => {
  const { clock, lessor, confirms, leading, said, renew } = await setUp([1n, 2n, 3n]);
  lessor.checkpoint(2n, 30);
  clock.advance(45_000);
  lessor.renew(1n);
  clock.advance(20_000);
  for (const id of [1n, 2n, 3n]) renew(id);
  clock.advance(1);
  confirms[0]!(undefined);
  clock.advance(1);
  expect(said).toEqual(['1 for 60', '2 undecided', '3 undecided']);
  renew(1n);
  clock.advance(1);
  confirms[1]!(undefined);
  leading.lessor = undefined;
  clock.advance(1);
  expect(said.at(-1)).toBe('1 undecided');
});

test('a confirmation from before a standstill counts no more: it is asked for again', async () => {
  const { clock, confirms, said, renew } = await setUp([1n]);
  renew(1n);
  clock.advance(1);
  confirms[0]!(undefined);
  clock.skip(501);
  clock.advance(1);
  expect([confirms.length, said]).toEqual([2, []]);
  confirms[1]!(undefined);
  clock.advance(1);
  expect(said).toEqual(['1 for 60']);
});
