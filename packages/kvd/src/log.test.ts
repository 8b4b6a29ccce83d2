import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { LogConfig } from './config.ts';
import { logTo, openLog } from './log.ts';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function capture(format: LogConfig['format'], level: LogConfig['level'] = 'debug') {
  const lines: string[] = [];
  const logger = logTo({ write: (line) => lines.push(line) }, { level, format });
  return { lines, logger };
}

test('a JSON line has level, time and message first, then the facts', () => {
  const { lines, logger } = capture('json');
  logger.warn('slow fsync', { durationMs: 812, file: 'a' });
  const [line = ''] = lines;
  expect(Object.keys(JSON.parse(line) as object)).toEqual(['level', 'ts', 'durationMs', 'file', 'msg']);
  expect(JSON.parse(line)).toMatchObject({ level: 'warn', msg: 'slow fsync', durationMs: 812 });
  expect(line).toMatch(/"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/);
  expect(line.endsWith('\n')).toBe(true);
});

test('ids are printed in hex, also those of the context', () => {
  const { lines, logger } = capture('json');
  logger.with({ member: 0x8e9e05c52164694dn }).info('elected', { leader: 255n, none: undefined });
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ member: '8e9e05c52164694d', leader: 'ff', msg: 'elected' });
});

test('the console form is columns', () => {
  const { lines, logger } = capture('console');
  logger.error('it broke', { code: 7 });
  logger.info('fine');
  expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\S+Z\terror\tit broke\t\{"code":7\}\n$/);
  expect(lines[1]).toMatch(/^\S+Z\tinfo\tfine\n$/);
});

test.each([
  ['debug', ['debug', 'info', 'warn', 'error']],
  ['info', ['info', 'warn', 'error']],
  ['warn', ['warn', 'error']],
  ['error', ['error']],
  ['panic', []],
  ['fatal', []],
] as const)('level %s writes %s', (level, written) => {
  const { lines, logger } = capture('json', level);
  logger.debug('x');
  logger.info('x');
  logger.warn('x');
  logger.error('x');
  expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(written);
});

test('files are appended to and are readable by their owner only', () => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-log-'));
  directories.push(directory);
  const file = join(directory, 'sub', 'kvd.log');
  for (const message of ['one', 'two']) {
    openLog({ level: 'info', format: 'json', outputs: [file] }).info(message);
  }
  const messages = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(messages).toEqual(['one', 'two']);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});
