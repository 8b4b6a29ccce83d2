import { CorruptionError, type Facts, MemoryDisk, silentLogger } from '@quorate/base';
import { describe, expect, test } from 'vitest';
import { hasSegments, listSegments, segmentName } from './segment-name.ts';

const refuse = (file: string, reason: string): CorruptionError => new CorruptionError('wal', reason, { file });

async function listOf(names: readonly string[], logger = silentLogger): Promise<string[]> {
  const disk = new MemoryDisk();
  for (const name of names) await disk.create(`wal/${name}`);
  return (await listSegments({ disk, directory: 'wal', logger }, refuse)).map(({ name }) => name);
}

const name = (sequence: number, firstIndex: number): string => segmentName(sequence, firstIndex).name;

test('names are etcd’s: sequence and first index in sixteen hex digits', () => {
  expect(name(10, 2 ** 53 - 1)).toBe('000000000000000a-001fffffffffffff.wal');
});

test('segments are listed by sequence, from wherever the log begins', async () => {
  expect(await listOf([name(11, 1), name(10, 300), name(9, 200)])).toEqual([name(9, 200), name(10, 300), name(11, 1)]);
});

test('what may lie beside a log is passed over silently', async () => {
  const logged: string[] = [];
  const logger = { ...silentLogger, warn: (message: string) => logged.push(message) };
  expect(await listOf([name(0, 1), `${name(0, 1)}.torn`, `${name(1, 5)}.tmp`, 'spare.tmp'], logger)).toEqual([
    name(0, 1),
  ]);
  expect(logged).toEqual([]);
});

test('unknown names are passed over with a line in the log', async () => {
  const logged: (Facts | undefined)[] = [];
  const logger = { ...silentLogger, warn: (_: string, facts?: Facts) => logged.push(facts) };
  expect(await listOf(['lost+found', name(0, 1), 'a.txt'], logger)).toEqual([name(0, 1)]);
  expect(logged).toEqual([{ file: 'wal/a.txt' }, { file: 'wal/lost+found' }]);
});

describe('refused:', () => {
  for (const [what, names] of Object.entries({
    'a short name': ['1-1.wal'],
    'upper case digits': [name(10, 1).replace('a', 'A')],
    'something before the name': [`copy-${name(0, 1)}`],
    'digits that are none': [name(0, 1).replace('1', 'g')],
    'two segments of one sequence': [name(3, 1), name(3, 2)],
    'a gap in the sequence': [name(3, 1), name(5, 2)],
  })) {
    test(what, async () => {
      await expect(listOf(names)).rejects.toThrow(CorruptionError);
    });
  }
});

test('anything that claims to be a segment makes a log; a half-made one does not', () => {
  expect(hasSegments(['lost+found', 'spare.tmp', `${name(0, 1)}.tmp`])).toBe(false);
  expect(hasSegments([name(0, 1)])).toBe(true);
  expect(hasSegments(['1-1.wal'])).toBe(true);
});
