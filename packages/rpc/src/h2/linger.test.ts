import type { Clock } from '@quorate/base';
import { expect, test } from 'vitest';
import { Linger } from './linger.ts';

/** A linger, its time, and the look it asked for. */
function setUp(allowed = true): { linger: Linger; time: { nowMs: number }; looks: (() => void)[] } {
  const time = { nowMs: 0 };
  const looks: (() => void)[] = [];
  const clock = { nowMs: () => time.nowMs, soon: (fn: () => void) => looks.push(fn) } as unknown as Clock;
  return { linger: new Linger(clock, () => allowed), time, looks };
}

type Rig = ReturnType<typeof setUp>;

/** One request and its answer; whether a look followed. */
function exchange({ linger, looks }: Rig): boolean {
  linger.read();
  linger.answered();
  return looks.length > 0;
}

/** The look under way finds nothing until its time is over. */
function lookInVain(rig: Rig): void {
  for (let looked = 0; rig.looks.length > 0; looked++) {
    expect(looked).toBeLessThan(100);
    rig.time.nowMs += 0.01;
    rig.looks.pop()!();
  }
}

function exchangesUntilLook(rig: Rig): number {
  let exchanges = 1;
  while (!exchange(rig)) exchanges++;
  return exchanges;
}

test('one answer in 64 is followed by a look, as long as looks are in vain', () => {
  const rig = setUp();
  for (let i = 0; i < 5; i++) {
    expect(exchangesUntilLook(rig)).toBe(64);
    lookInVain(rig);
  }
});

test('looks that find the next request are repeated after every answer, until they are in vain more often than one in four', () => {
  const rig = setUp();
  exchangesUntilLook(rig);
  for (let i = 0; i < 40; i++) {
    const { linger, looks } = rig;
    linger.read();
    looks.pop()!();
    linger.answered();
    expect(looks).toHaveLength(1);
  }
  let vain = 0;
  do {
    lookInVain(rig);
    vain++;
  } while (exchange(rig));
  expect(vain).toBe(11);
  expect(exchangesUntilLook(rig)).toBe(63);
});

test('a look lasts a tenth of a millisecond', () => {
  const rig = setUp();
  exchangesUntilLook(rig);
  rig.time.nowMs += 0.09;
  rig.looks.pop()!();
  expect(rig.looks).toHaveLength(1);
  rig.time.nowMs += 0.02;
  rig.looks.pop()!();
  expect(rig.looks).toEqual([]);
});

test('an answer to several reads, or one that no read led to, is followed by none', () => {
  const rig = setUp();
  exchangesUntilLook(rig);
  const { linger, looks } = rig;
  for (let i = 0; i < 10; i++) {
    linger.read();
    looks.pop()!();
    linger.answered();
  }
  lookInVain(rig);
  linger.answered();
  expect(looks).toEqual([]);
  linger.read();
  linger.read();
  linger.answered();
  expect(looks).toEqual([]);
  expect(exchange(rig)).toBe(true);
});

test('who may not look does not', () => {
  const rig = setUp(false);
  for (let i = 0; i < 200; i++) expect(exchange(rig)).toBe(false);
});
