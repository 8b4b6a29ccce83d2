/**
 * Puts at an even rate, in a process of its own: each is timed from when it was due, so that one that had to wait for its turn
 * counts as late as its caller found it. The task is the first argument. Over the IPC channel it is told when to count, and asked
 * what came out since it was asked before.
 */
import { H2Connection } from './h2-connection.ts';
import { Histogram } from './histogram.ts';
import { requests } from './requests.ts';

export interface PacedTask {
  readonly endpoint: string;
  readonly perSecond: number;
  readonly valueBytes: number;
  readonly keyCount: number;
}

/** What it is told or asked. Counted are puts that are due between `count` and `pass`, also those that are answered later. */
export type PacedWord = 'count' | 'pass' | 'report';

export interface PacedReport {
  readonly count: number;
  readonly failures: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const connectionCount = 10;

async function run(task: PacedTask): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: connectionCount }, () => H2Connection.open(task.endpoint)),
  );
  const { path, next } = requests({ ...task, operation: 'put' });
  const counted = { histogram: new Histogram(), failures: 0, isCounting: false };
  process.on('message', (word: PacedWord) => {
    if (word === 'report') process.send?.(take(counted));
    else counted.isCounting = word === 'count';
  });
  process.once('disconnect', () => process.exit(0));
  const startMs = performance.now();
  let sent = 0;
  const send = (): void => {
    const nowMs = performance.now();
    for (let dueMs = dueAt(sent); dueMs <= nowMs; dueMs = dueAt(sent)) {
      const { isCounting } = counted;
      connections[sent++ % connectionCount]!.call(path, next(), (answered) => {
        if (!isCounting) return;
        if (!answered) counted.failures++;
        else counted.histogram.record(performance.now() - dueMs);
      });
    }
    setTimeout(send, 1);
  };
  const dueAt = (number: number): number => startMs + (number * 1_000) / task.perSecond;
  send();
}

function take(counted: { histogram: Histogram; failures: number }): PacedReport {
  const { histogram, failures } = counted;
  counted.histogram = new Histogram();
  counted.failures = 0;
  const { count, maxMs } = histogram;
  return { count, failures, p50Ms: histogram.percentileMs(0.5), p99Ms: histogram.percentileMs(0.99), maxMs };
}

await run(JSON.parse(process.argv[2] ?? '') as PacedTask);
