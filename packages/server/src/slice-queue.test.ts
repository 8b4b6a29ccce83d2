import { expect, test } from 'vitest';
import { SliceQueue } from './slice-queue.ts';

/** A clock of turns: what is to run soon runs on the next one. */
class Turns {
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
    const due = this.#soon;
    this.#soon = [];
    for (const fn of due) fn();
    return due.length > 0;
  }
}

test('of any number of long calls one slice runs in a turn, and they take turns', () => {
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
  expect(perTurn).toEqual([1, 1, 1, 1, 1, 1]);
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
  expect(() => turns.turn()).toThrow('broken');
  expect(turns.turn()).toBe(true);
  expect(ran).toBe(1);
  queue.add(() => {
    ran++;
  });
  expect(turns.turn()).toBe(true);
  expect(ran).toBe(2);
});
