import { expect, test } from 'vitest';
import { SliceQueue } from './slice-queue.ts';

/** A clock of turns: what is to run soon runs on the next one, behind it what arrived in between. */
class Turns {
  /** Is read at the beginning of the next turn. */
  readonly arrived: (() => void)[] = [];
  #soon: (() => void)[] = [];

  readonly clock = {
    nowMs: () => 0,
    wallMs: () => 0,
    after: () => ({ cancel: () => {} }),
    soon: (fn: () => void) => {
      this.#soon.push(fn);
    },
  };

  /** False when nothing was waiting. */
  turn(): boolean {
    const due = [...this.#soon, ...this.arrived.splice(0)];
    this.#soon = [];
    for (const fn of due) fn();
    return due.length > 0;
  }
}

test('of any number of long calls one slice runs in every other turn, and they take turns', () => {
  const turns = new Turns();
  const queue = new SliceQueue(turns.clock);
  const ran: string[] = [];
  const long = (name: string, slices: number): void => {
    queue.add(() => {
      ran.push(name);
      if (slices > 1) long(name, slices - 1);
    });
  };
  long('a', 3);
  long('b', 2);
  long('c', 1);
  const perTurn: number[] = [];
  for (let before = 0; turns.turn(); before = ran.length) perTurn.push(ran.length - before);
  expect(ran.join('')).toBe('abcaba');
  expect(perTurn).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
});

test('a slice that throws leaves the others their turns', () => {
  const turns = new Turns();
  const queue = new SliceQueue(turns.clock);
  let ran = 0;
  queue.add(() => {
    throw new Error('broken');
  });
  queue.add(() => {
    ran++;
  });
  turns.turn();
  expect(() => turns.turn()).toThrow('broken');
  turns.turn();
  expect(turns.turn()).toBe(true);
  expect(ran).toBe(1);
  queue.add(() => {
    ran++;
  });
  turns.turn();
  expect(turns.turn()).toBe(true);
  expect(ran).toBe(2);
});

test('what arrives during a slice is handled before the next one', () => {
  const turns = new Turns();
  const queue = new SliceQueue(turns.clock);
  const ran: string[] = [];
  const long = (slices: number): void => {
    queue.add(() => {
      ran.push(`slice ${slices}`);
      turns.arrived.push(() => ran.push(`request during ${slices}`));
      if (slices > 1) long(slices - 1);
    });
  };
  long(2);
  while (turns.turn()) if (ran.length > 9) break;
  expect(ran).toEqual(['slice 2', 'request during 2', 'slice 1', 'request during 1']);
});
