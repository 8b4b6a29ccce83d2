import { spawnSync } from 'node:child_process';
import { CorruptionError, type Facts, FatalError, type Logger, StorageError, silentLogger } from '@quorate/base';
import { expect, test } from 'vitest';
import { die, killSelf } from './die.ts';

function lastMoments(error: unknown): { end: string; facts: Facts | undefined } {
  let end = 'alive';
  let facts: Facts | undefined;
  const logger: Logger = {
    ...silentLogger,
    error: (_message, given) => {
      expect(end).toBe('alive');
      facts = given;
    },
  };
  die(error, logger, {
    kill: () => {
      end = 'killed';
    },
    exit: (code) => {
      end = `exit ${code}`;
    },
  });
  return { end, facts };
}

test('a failed sync kills the process after the log line', () => {
  const { end, facts } = lastMoments(new StorageError('wal', 'sync', 'EIO', { file: '1.wal' }, new Error('disk')));
  expect(end).toBe('killed');
  expect(facts).toMatchObject({ error: 'cannot sync wal: EIO (file=1.wal)', file: '1.wal', cause: 'disk' });
});

test('a broken invariant and an error of any other kind kill it too', () => {
  expect(lastMoments(new FatalError('commit moved back', { index: 3 }))).toMatchObject({
    end: 'killed',
    facts: { index: 3 },
  });
  expect(lastMoments('a string')).toEqual({ end: 'killed', facts: { error: 'a string' } });
});

test('corruption exits with 3', () => {
  expect(lastMoments(new CorruptionError('wal', 'crc mismatch', { file: '1.wal', offset: 8 })).end).toBe('exit 3');
});

test('a killed process runs no exit handlers and goes no further', () => {
  const program = `
    process.on('exit', () => console.log('exit handler ran'));
    console.log('before');
    (${killSelf.toString()})();
    console.log('after');
  `;
  const { signal, stdout } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 20_000 });
  expect({ signal, stdout }).toEqual({ signal: 'SIGKILL', stdout: 'before\n' });
});
