import { silentLogger } from '@quorate/base';
import { KvError } from '@quorate/proto';
import { beforeEach, describe, expect, test } from 'vitest';
import { autoCompact } from './auto-compactor.ts';
import type { AutoCompaction } from './config.ts';
import { ManualClock } from './testing/manual-clock.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

let clock: ManualClock;
let startedMs: number;
let revision: number;
let isLeader: boolean;
let refusal: KvError | undefined;
/** Minute and revision of every proposal. */
let proposed: [minute: number, revision: number][];

beforeEach(() => {
  clock = new ManualClock();
  startedMs = clock.nowMs();
  revision = 1;
  isLeader = true;
  refusal = undefined;
  proposed = [];
});

function start(retention: AutoCompaction): () => void {
  return autoCompact(retention, {
    clock,
    logger: silentLogger,
    isLeader: () => isLeader,
    currentRevision: () => revision,
    compact: (request, reply) => {
      proposed.push([Math.round((clock.nowMs() - startedMs) / minuteMs), request.revision]);
      if (refusal === undefined) reply.encoded(Buffer.alloc(0));
      else reply.fail(refusal);
    },
  });
}

/** Lets minutes pass, in each of which the revision rises by one. */
function pass(minutes: number): void {
  for (let i = 0; i < minutes; i++) {
    clock.advance(minuteMs - 1);
    revision++;
    clock.advance(1);
  }
}

describe('by period', () => {
  test('an hour is kept: nothing for an hour, then every hour to the oldest of its last eleven looks', () => {
    start({ mode: 'periodic', periodMs: hourMs });
    pass(59);
    expect(proposed).toEqual([]);
    pass(181);
    expect(proposed).toEqual([
      [60, 1],
      [120, 55],
      [180, 115],
      [240, 175],
    ]);
  });

  test('ten minutes are kept: every ten minutes to the oldest of its last eleven looks', () => {
    start({ mode: 'periodic', periodMs: 10 * minuteMs });
    pass(30);
    expect(proposed).toEqual([
      [10, 1],
      [20, 10],
      [30, 20],
    ]);
  });

  test('a day is kept: nothing for a day, then every hour to the oldest of a day and a look', () => {
    start({ mode: 'periodic', periodMs: 24 * hourMs });
    pass(24 * 60 - 1);
    expect(proposed).toEqual([]);
    pass(2 * 60 + 1);
    expect(proposed).toEqual([
      [1440, 1],
      [1500, 55],
      [1560, 115],
    ]);
  });

  test('a failure is tried again a tenth of a period later, with what is oldest then', () => {
    start({ mode: 'periodic', periodMs: hourMs });
    refusal = new KvError('timeout');
    pass(66);
    refusal = undefined;
    pass(66);
    expect(proposed).toEqual([
      [60, 1],
      [66, 1],
      [72, 7],
      [132, 67],
    ]);
  });

  test('what somebody else compacted counts as done', () => {
    start({ mode: 'periodic', periodMs: hourMs });
    refusal = new KvError('compacted');
    pass(120);
    expect(proposed).toEqual([
      [60, 1],
      [120, 55],
    ]);
  });

  test('a member that does not lead proposes nothing, and knows what was a period ago when it comes to lead', () => {
    start({ mode: 'periodic', periodMs: hourMs });
    isLeader = false;
    pass(90);
    expect(proposed).toEqual([]);
    isLeader = true;
    pass(6);
    expect(proposed).toEqual([[96, 31]]);
  });

  test('nothing is proposed while nothing is written, nor after the end', () => {
    const stop = start({ mode: 'periodic', periodMs: hourMs });
    clock.advance(5 * hourMs);
    expect(proposed).toEqual([[60, 1]]);
    stop();
    pass(300);
    expect(proposed).toHaveLength(1);
  });
});

describe('by revision', () => {
  test('every five minutes, to what leaves so many, and not twice', () => {
    start({ mode: 'revision', revisions: 10 });
    pass(20);
    expect(proposed).toEqual([
      [10, 1],
      [15, 6],
      [20, 11],
    ]);
    clock.advance(hourMs);
    expect(proposed).toHaveLength(3);
  });

  test('a failure is tried again after five minutes; a member that does not lead proposes nothing', () => {
    start({ mode: 'revision', revisions: 3 });
    refusal = new KvError('timeout');
    pass(5);
    refusal = undefined;
    isLeader = false;
    pass(5);
    isLeader = true;
    pass(5);
    expect(proposed).toEqual([
      [5, 3],
      [15, 13],
    ]);
  });
});
