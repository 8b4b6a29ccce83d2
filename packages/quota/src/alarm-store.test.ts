import { type Backend, buckets, MemoryBackendFactory } from '@quorate/backend';
import { formatId, type Meter, silentLogger, silentMeter } from '@quorate/base';
import { type AlarmMember, AlarmType } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AlarmStore } from './alarm-store.ts';

const { NONE, NOSPACE, CORRUPT } = AlarmType;

async function memory(): Promise<Backend> {
  return new MemoryBackendFactory().open('db');
}

const alarm = (memberID: bigint, type: number): AlarmMember => ({ memberID, alarm: type });

describe('AlarmStore', () => {
  test('raising one twice is one alarm, answered both times', async () => {
    const backend = await memory();
    const alarms = AlarmStore.open(backend);
    expect(alarms.activate(5n, NOSPACE)).toEqual(alarm(5n, NOSPACE));
    expect(backend.stagedCount).toBe(1);
    expect(alarms.activate(5n, NOSPACE)).toEqual(alarm(5n, NOSPACE));
    expect(backend.stagedCount).toBe(1);
    expect(alarms.list()).toEqual([alarm(5n, NOSPACE)]);
  });

  test('taking back answers with the alarm once, then with nothing', async () => {
    const alarms = AlarmStore.open(await memory());
    alarms.activate(5n, NOSPACE);
    expect(alarms.deactivate(5n, CORRUPT)).toBe(undefined);
    expect(alarms.deactivate(6n, NOSPACE)).toBe(undefined);
    expect(alarms.deactivate(5n, NOSPACE)).toEqual(alarm(5n, NOSPACE));
    expect(alarms.deactivate(5n, NOSPACE)).toBe(undefined);
    expect(alarms.any(NOSPACE)).toBe(false);
  });

  test('neither type NONE nor member 0 is a wildcard', async () => {
    const alarms = AlarmStore.open(await memory());
    expect(alarms.activate(5n, NONE)).toBe(undefined);
    alarms.activate(5n, CORRUPT);
    alarms.activate(0n, CORRUPT);
    expect(alarms.deactivate(5n, NONE)).toBe(undefined);
    expect(alarms.deactivate(0n, CORRUPT)).toEqual(alarm(0n, CORRUPT));
    expect(alarms.list()).toEqual([alarm(5n, CORRUPT)]);
  });

  test('an alarm stands while any member has it', async () => {
    const alarms = AlarmStore.open(await memory());
    alarms.activate(1n, NOSPACE);
    alarms.activate(2n, NOSPACE);
    alarms.deactivate(1n, NOSPACE);
    expect([alarms.any(NOSPACE), alarms.any(CORRUPT)]).toEqual([true, false]);
    expect([alarms.has(1n, NOSPACE), alarms.has(2n, NOSPACE), alarms.has(2n, CORRUPT)]).toEqual([false, true, false]);
    alarms.deactivate(2n, NOSPACE);
    expect(alarms.any(NOSPACE)).toBe(false);
  });

  test('lists by type, then member, all or one type', async () => {
    const alarms = AlarmStore.open(await memory());
    for (const id of [2n ** 64n - 1n, 3n, 2n ** 63n]) alarms.activate(id, NOSPACE);
    alarms.activate(9n, CORRUPT);
    const noSpace = [3n, 2n ** 63n, 2n ** 64n - 1n].map((id) => alarm(id, NOSPACE));
    expect(alarms.list()).toEqual([...noSpace, alarm(9n, CORRUPT)]);
    expect(alarms.list(NOSPACE)).toEqual(noSpace);
    expect(alarms.list(CORRUPT)).toEqual([alarm(9n, CORRUPT)]);
    expect(alarms.list(7)).toEqual([]);
  });

  test('a row is the encoded alarm as key, as in etcd', async () => {
    const backend = await memory();
    AlarmStore.open(backend).activate(300n, NOSPACE);
    const [row] = backend.range(buckets.alarm, { from: '' });
    expect(Buffer.from(row!.key, 'latin1').toString('hex')).toBe('08ac021001');
    expect(row!.value.length).toBe(0);
  });

  test('is a set of pairs, the same after every restart', async () => {
    const id = fc.constantFrom(0n, 1n, 2n, 2n ** 53n + 1n, 2n ** 64n - 1n);
    const type = fc.constantFrom<number>(NONE, NOSPACE, CORRUPT, 17);
    const step = fc.record({ do: fc.constantFrom('activate', 'deactivate', 'reopen'), id, type });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const backend = await memory();
        let alarms = AlarmStore.open(backend);
        const model = new Set<string>();
        for (const one of steps) {
          const name = `${one.type}/${one.id}`;
          const known = alarm(one.id, one.type);
          if (one.do === 'reopen') {
            alarms = AlarmStore.open(backend);
          } else if (one.do === 'activate') {
            expect(alarms.activate(one.id, one.type)).toEqual(one.type === NONE ? undefined : known);
            if (one.type !== NONE) model.add(name);
          } else {
            expect(alarms.deactivate(one.id, one.type)).toEqual(model.delete(name) ? known : undefined);
          }
          expect(new Set(alarms.list().map((a) => `${a.alarm}/${a.memberID}`))).toEqual(model);
          expect(alarms.any(one.type)).toBe([...model].some((m) => m.startsWith(`${one.type}/`)));
        }
        expect(backend.range(buckets.alarm, { from: '' }).length).toBe(model.size);
      }),
    );
  });
});

test('every alarm is shown by member and kind, and no more once disarmed, or when its state is replaced', async () => {
  const shown = new Map<string, number>();
  const meter: Meter = {
    ...silentMeter,
    gauge: ({ name, labels }) => ({
      set: (value) => void shown.set(`${name} ${Object.values(labels!).join()}`, value),
    }),
  };
  const store = AlarmStore.open(await memory(), silentLogger, meter);
  store.activate(5n, NOSPACE);
  store.activate(6n, CORRUPT);
  const of = (member: bigint, kind: string): number | undefined =>
    shown.get(`etcd_debugging_server_alarms ${formatId(member)},${kind}`);
  expect([of(5n, 'NOSPACE'), of(6n, 'CORRUPT')]).toEqual([1, 1]);
  store.deactivate(5n, NOSPACE);
  expect([of(5n, 'NOSPACE'), of(6n, 'CORRUPT')]).toEqual([0, 1]);
  store.close();
  expect(of(6n, 'CORRUPT')).toBe(0);
});
