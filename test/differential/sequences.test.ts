/**
 * Random sequences of calls, each played on a kvd and on a real etcd: every field of every answer, every status and text, every
 * event of every watch must be equal. What is replaced before the comparison stands in text.ts, what is not asked in rulings.ts,
 * and both with their reasons in docs/differences.md.
 *
 * A sequence that shows a difference is made smaller; the failure prints what is left of it, both answers, and the line that
 * repeats it. Lanes are pairs of servers of their own that run side by side, half of them for each of kvd's transports.
 */

import { env } from 'node:process';
import { type KvErrorCode, kvErrors } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { installedEtcds } from '../support/etcd-process.ts';
import { sequence } from './arbitraries.ts';
import { mustAgree, sequenceText } from './compare.ts';
import type { Sequence } from './operations.ts';
import { Pair } from './pair.ts';

const runs = Number(env['QUORATE_DIFF_RUNS'] ?? 2_000);
const seed = Number(env['QUORATE_DIFF_SEED'] ?? 1);
/** Set to repeat a failure: the lane it was in, and where fast-check found it. */
const onlyLane = env['QUORATE_DIFF_LANE'];
const path = env['QUORATE_DIFF_PATH'];
/** `3.4` or `3.5`: which of the installed ones to compare with. Default: the newest. */
const wanted = env['QUORATE_DIFF_ETCD'];

const operationsMin = 40;
const transports = ['h2', 'grpc-js', 'h2', 'grpc-js'];
/** A failing sequence is made smaller for so long. */
const shrinkMs = 60_000;
/** A lane gets this long for each sequence, and never less than the project's limit: nights play many. */
const limitMs = Math.max(900_000, Math.ceil(runs / transports.length) * 1_000);

const oracle = installedEtcds().findLast(({ minor }) => wanted === undefined || minor === wanted);

/** Refusals that sequences must have met, or they say little: all that a client of one member can bring about. */
const expectedRefusals: readonly KvErrorCode[] = [
  ...(['emptyKey', 'keyNotFound', 'valueProvided', 'leaseProvided', 'tooManyOps', 'duplicateKey'] as const),
  ...(['invalidSortOption', 'requestTooLarge', 'compacted', 'futureRev', 'leaseTtlTooLarge', 'noSpace'] as const),
  ...(['leaseNotFound', 'leaseExist', 'badLeaderTransferee', 'corrupt', 'electionNoLeader'] as const),
];
/** So many sequences have met them all. */
const tellingRuns = 400;

/** What was compared, for the one who reads that nothing differs. */
interface Count {
  sequences: number;
  operations: number;
  watched: number;
}

class Lane {
  readonly count: Count = { sequences: 0, operations: 0, watched: 0 };
  readonly #transport: string;
  #pair: Pair | undefined;
  /** Answers to refused calls: status and text. */
  readonly refusals: Set<string> = new Set();
  #failedAtMs: number | undefined;

  constructor(transport: string) {
    this.#transport = transport;
  }

  /** Throws Difference. */
  async play(one: Sequence): Promise<void> {
    if (this.#failedAtMs !== undefined && Date.now() - this.#failedAtMs > shrinkMs) return;
    try {
      this.#pair ??= await Pair.start(oracle!, this.#transport);
      const [etcd, kvd] = await this.#pair.play(one);
      mustAgree(one, etcd, kvd);
      this.count.sequences++;
      this.count.operations += etcd.answers.length;
      this.count.watched += etcd.watched.length;
      for (const answer of kvd.answers) if (/^\d/.test(answer)) this.refusals.add(answer);
    } catch (error) {
      this.#failedAtMs ??= Date.now();
      // One of them may have ended.
      if (!(await this.#pair?.isAlive())) await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#pair?.stop();
    this.#pair = undefined;
  }
}

describe.runIf(oracle !== undefined)(`answers as those of etcd ${oracle?.version}`, () => {
  const lanes = transports.map((transport, lane) => ({ transport, lane }));
  const chosen = lanes.filter(({ lane }) => onlyLane === undefined || lane === Number(onlyLane));
  test.concurrent.each(chosen)(
    'random sequences over $transport, lane $lane',
    async ({ transport, lane: number }) => {
      const numRuns = Math.ceil(runs / transports.length);
      const lane = new Lane(transport);
      try {
        const property = fc.asyncProperty(sequence(operationsMin), (one) => lane.play(one));
        const details = await fc.check(property, {
          numRuns,
          seed: seed + number,
          ...(path === undefined ? {} : { path }),
        });
        if (details.failed) throw new Error(failureText(number, details));
      } finally {
        await lane.stop();
      }
      console.log(`lane ${number}: ${JSON.stringify(lane.count)}`);
      if (path !== undefined) return;
      expect(lane.count.sequences).toBeGreaterThanOrEqual(numRuns);
      expect(lane.count.operations).toBeGreaterThanOrEqual(numRuns * operationsMin);
      if (numRuns < tellingRuns) return;
      const missed = expectedRefusals.filter((code) => {
        const { status, message } = kvErrors[code];
        return !lane.refusals.has(`${status} ${message}`);
      });
      expect(missed).toEqual([]);
    },
    limitMs,
  );
});

function failureText(lane: number, details: fc.RunDetails<[Sequence]>): string {
  const { counterexample, counterexamplePath, errorInstance } = details;
  const settings = [
    `QUORATE_DIFF_SEED=${seed}`,
    `QUORATE_DIFF_LANE=${lane}`,
    `QUORATE_DIFF_PATH=${counterexamplePath}`,
    `QUORATE_DIFF_RUNS=${runs}`,
  ];
  return [
    errorInstance instanceof Error ? errorInstance.message : String(errorInstance),
    counterexample === null ? 'no sequence' : sequenceText(counterexample[0]),
    `repeat with: ${settings.join(' ')} npm run test:differential`,
  ].join('\n');
}

if (oracle === undefined) test.skip('needs etcd and etcdctl, which are not installed here', () => {});
