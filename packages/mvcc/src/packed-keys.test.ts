import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NodeMemory } from './node-memory.ts';
import { nodeMax, PackedKeys } from './packed-keys.ts';

type Entry = readonly [key: string, value: number];

/** Keys that share beginnings of every length, end inside each other, differ by zeros alone, or are too long for a node's own memory. */
const key = fc.oneof(
  fc.nat(500).map((n) => `registry/pods/default/${n}`),
  fc.nat(50).map((n) => `registry/pods/kube-system/${String(n).padStart(8, '0')}`),
  fc.tuple(fc.nat(9), fc.nat(6)).map(([n, zeros]) => `a${n}${'\0'.repeat(zeros)}`),
  fc.constantFrom('', '\0', '\xff', '\xff\xff\0', 'registry/', 'registry/pods/default'),
  fc.tuple(fc.nat(20), fc.nat(3_000)).map(([n, length]) => `registry/${'x'.repeat(length)}${n}`),
);
const value = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ set: key, value }) },
  { weight: 2, arbitrary: fc.record({ remove: fc.nat(nodeMax) }) },
  { weight: 1, arbitrary: fc.record({ cut: fc.nat(nodeMax) }) },
  { weight: 1, arbitrary: fc.record({ move: fc.nat(nodeMax), andBack: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ copy: true } as const) },
);

function entriesOf(keys: PackedKeys): Entry[] {
  return Array.from({ length: keys.count }, (_, i) => [keys.keyAt(i), keys.valueAt(i)] as const);
}

function set(keys: PackedKeys, model: Map<string, number>, name: string, number: number): void {
  const at = keys.find(name);
  expect(at >= 0).toBe(model.has(name));
  if (at >= 0) keys.setValue(at, number);
  else if (keys.count < nodeMax) keys.insert(~at, name, number);
  if (at >= 0 || model.size < nodeMax) model.set(name, number);
}

function sorted(model: Map<string, number>): Entry[] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

function keep(model: Map<string, number>, entries: readonly Entry[]): void {
  model.clear();
  for (const [name, number] of entries) model.set(name, number);
}

describe('packed keys', () => {
  test('are the keys and values of a sorted map, found where they are, whatever is done to them', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), fc.array(key, { maxLength: 10 }), (steps, asked) => {
        const memory = new NodeMemory();
        let keys = new PackedKeys(memory);
        const model = new Map<string, number>();
        for (const each of steps) {
          if ('set' in each) {
            set(keys, model, each.set, each.value);
          } else if ('remove' in each && each.remove < keys.count) {
            model.delete(keys.keyAt(each.remove));
            keys.remove(each.remove);
          } else if ('cut' in each && each.cut <= keys.count) {
            keep(model, sorted(model).slice(0, each.cut));
            keys.cut(each.cut);
          } else if ('move' in each && each.move <= keys.count) {
            const right = new PackedKeys(memory);
            keys.moveTo(right, each.move);
            expect(right.isSound()).toBe(true);
            expect(entriesOf(right)).toEqual(sorted(model).slice(each.move));
            if (each.andBack) keys.append(right);
            else keep(model, sorted(model).slice(0, each.move));
            right.release();
          } else if ('copy' in each) {
            const copy = new PackedKeys(memory);
            keys.copyTo(copy);
            keys.release();
            keys = copy;
          }
        }
        expect(keys.isSound()).toBe(true);
        const entries = sorted(model);
        expect(entriesOf(keys)).toEqual(entries);
        for (const name of [...asked, ...model.keys()]) {
          const below = entries.filter(([other]) => other < name).length;
          expect(keys.find(name)).toBe(model.has(name) ? below : ~below);
          expect(keys.lowerBound(name)).toBe(below);
          expect(keys.upperBound(name)).toBe(below + Number(model.has(name)));
        }
        expect(memory.inUse).toBe(1);
      }),
      { numRuns: 300 },
    );
  });

  test('are too many above 64, or when they have many bytes', () => {
    const memory = new NodeMemory();
    const small = new PackedKeys(memory);
    for (let i = 0; i < nodeMax; i++) small.insert(i, String(i).padStart(3, '0'), i);
    expect(small.isTooBig).toBe(false);
    small.insert(nodeMax, '999', 0);
    expect(small.isTooBig).toBe(true);
    const large = new PackedKeys(memory);
    large.insert(0, 'a'.repeat(1_000_000), 0);
    expect(large.isTooBig).toBe(false);
    large.insert(1, 'b'.repeat(20_000), 1);
    expect(large.isTooBig).toBe(true);
    expect(large.hasRoomFor(small)).toBe(false);
    expect([large.keyAt(0).length, large.keyAt(1).length]).toEqual([1_000_000, 20_000]);
  });

  test('that shared less for a while are packed again when they are cut', () => {
    const keys = new PackedKeys(new NodeMemory());
    for (let i = 0; i < 9; i++) keys.insert(i, `registry/pods/${i}`, i);
    keys.insert(9, 'z', 9);
    expect(keys.skip).toBe(0);
    keys.cut(9);
    expect(keys.skip).toBe('registry/pods/'.length);
    expect(keys.keyAt(8)).toBe('registry/pods/8');
  });
});

test('the memory of nodes is given out again, and new blocks are taken when all is in use', () => {
  const memory = new NodeMemory();
  const pieces = Array.from({ length: 600 }, () => memory.take());
  expect(new Set(pieces.map((piece) => `${piece >>> 8} ${memory.startOf(piece)}`)).size).toBe(600);
  for (const piece of pieces) {
    const { words, bytes } = memory.blockOf(piece);
    words[memory.startOf(piece) >>> 2] = piece;
    bytes[memory.startOf(piece) + NodeMemory.nodeBytes - 1] = piece & 0xff;
  }
  for (const piece of pieces) {
    expect(memory.blockOf(piece).words[memory.startOf(piece) >>> 2]).toBe(piece);
  }
  memory.give(17);
  memory.give(300);
  expect(memory.inUse).toBe(598);
  expect([memory.take(), memory.take()].sort((a, b) => a - b)).toEqual([17, 300]);
  expect(() => memory.give(600)).toThrow('memory of a node was never taken');
});
