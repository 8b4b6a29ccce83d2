/**
 * Puts at an even rate, in a process of its own: each is timed from when it was due, so that one that had to wait for its turn
 * counts as late as its caller found it. The task is the first argument; asked over the IPC channel, it tells what came out since
 * it was asked before.
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
  let histogram = new Histogram();
  let failures = 0;
  process.on('message', () => {
    const { count, maxMs } = histogram;
    const report: PacedReport = {
      count,
      failures,
      p50Ms: histogram.percentileMs(0.5),
      p99Ms: histogram.percentileMs(0.99),
      maxMs,
    };
    histogram = new Histogram();
    failures = 0;
    process.send?.(report);
  });
  process.once('disconnect', () => process.exit(0));
  const startMs = performance.now();
  let sent = 0;
  const send = (): void => {
    const nowMs = performance.now();
    for (let dueMs = dueAt(sent); dueMs <= nowMs; dueMs = dueAt(sent)) {
      connections[sent++ % connectionCount]!.call(path, next(), (answer) => {
        if (answer === undefined) failures++;
        else histogram.record(performance.now() - dueMs);
      });
    }
    setTimeout(send, 1);
  };
  const dueAt = (number: number): number => startMs + (number * 1_000) / task.perSecond;
  send();
}

await run(JSON.parse(process.argv[2] ?? '') as PacedTask);
