import { type Facts, silentLogger, silentMeter } from '@quorate/base';
import type { ScrubSlice } from '@quorate/mvcc';
import { expect, test } from 'vitest';
import { Scrubber } from './scrubber.ts';
import type { StateMachine } from './state-machine.ts';
import { ManualClock } from './testing/manual-clock.ts';

/** A scrubber of a store whose passes are these slices; `log` says what it read, and when. */
function scrubberOf(slices: () => Iterable<ScrubSlice>, options: { readonly intervalMs?: number } = {}) {
  const clock = new ManualClock();
  const log: string[] = [];
  const live: { state: StateMachine | undefined } = { state: undefined };
  const startedMs = clock.nowMs();
  function* reading(): Generator<ScrubSlice> {
    for (const slice of slices()) {
      log.push(`${slice.rows} rows at ${clock.nowMs() - startedMs}`);
      yield slice;
    }
  }
  const stateOf = (): StateMachine => ({ store: { scrub: reading } }) as unknown as StateMachine;
  live.state = stateOf();
  const scrubber = new Scrubber({
    clock,
    logger: { ...silentLogger, debug: (message: string, _facts?: Facts) => void log.push(message) },
    meter: silentMeter,
    state: () => live.state,
    intervalMs: options.intervalMs ?? 1_000,
    bytesPerSecond: 1_000_000,
    onFatal: (error) => void log.push(`fatal: ${String(error)}`),
  });
  scrubber.start();
  const run = (ms: number): void => {
    for (let i = 0; i < ms; i++) clock.advance(1);
  };
  return { run, log, live, stateOf, scrubber };
}

const slice = (rows: number, sizeBytes: number): ScrubSlice => ({ rows, sizeBytes });

test('a pass keeps to its rate, and the next begins after the interval', () => {
  const { run, log } = scrubberOf(() => [slice(1, 99_488), slice(2, 98_976)]);
  run(2_350);
  expect(log).toEqual([
    '1 rows at 1000',
    '2 rows at 1100',
    'found the store sound',
    '1 rows at 2200',
    '2 rows at 2300',
  ]);
});

test('tiny rows are not read faster than large ones', () => {
  const { run, log } = scrubberOf(() => [slice(1_000, 0), slice(1, 0)]);
  run(1_600);
  expect(log.slice(0, 2)).toEqual(['1000 rows at 1000', '1 rows at 1512']);
});

test('damage is reported once, and nothing is read any more', () => {
  const { run, log } = scrubberOf(() => {
    throw new Error('damaged');
  });
  run(5_000);
  expect(log).toEqual(['fatal: Error: damaged']);
});

test('a pass over a state that was replaced is given up, and there is none while there is no state', () => {
  const { run, log, live, stateOf } = scrubberOf(() => [slice(1, 99_488), slice(2, 99_488)]);
  run(1_050);
  live.state = stateOf();
  run(1_000);
  expect(log).toEqual(['1 rows at 1000']);
  live.state = undefined;
  run(1_100);
  live.state = stateOf();
  run(1_200);
  expect(log).toEqual(['1 rows at 1000', '1 rows at 4100', '2 rows at 4200', 'found the store sound']);
});

test('an interval of zero switches it off, and so does stopping', () => {
  const off = scrubberOf(() => [slice(1, 1)], { intervalMs: 0 });
  off.run(10_000);
  expect(off.log).toEqual([]);
  const stopped = scrubberOf(() => [slice(1, 99_488), slice(2, 99_488)]);
  stopped.run(1_050);
  stopped.scrubber.stop();
  stopped.run(10_000);
  expect(stopped.log).toEqual(['1 rows at 1000']);
});
