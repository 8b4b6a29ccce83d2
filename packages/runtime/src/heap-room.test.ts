import { expect, test } from 'vitest';
import { HeapRoom } from './heap-room.ts';

const megabyte = 1024 * 1024;

test('a small heap may grow to five times what lives, a large one is left to V8', () => {
  let usedBytes = 20 * megabyte;
  const set: number[] = [];
  const room = new HeapRoom({ usedBytes: () => usedBytes, setGrowing: (percent) => set.push(percent) });
  room.check();
  expect(set).toEqual([400]);
  usedBytes = 255 * megabyte;
  room.check();
  expect(set).toEqual([400]);
  usedBytes = 256 * megabyte;
  room.check();
  room.check();
  expect(set).toEqual([400, 0]);
  usedBytes = 60 * megabyte;
  room.check();
  expect(set).toEqual([400, 0, 400]);
});
