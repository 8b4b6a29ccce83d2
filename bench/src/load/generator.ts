/**
 * The load generator, run as a process of its own: a number of callers, each with one call under way, spread over connections
 * and endpoints, for a time. Reads its task from the command line as JSON and prints its findings as JSON.
 */
import { H2Connection } from './h2-connection.ts';
import { Histogram } from './histogram.ts';
import { type Operation, requests } from './requests.ts';

export interface LoadTask {
  readonly endpoints: readonly string[];
  readonly operation: Operation;
  readonly callers: number;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly valueBytes: number;
  /** Keys are this many, eight bytes each, used in turn. */
  readonly keyCount: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly count: number;
  readonly failures: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function runLoad(task: LoadTask): Promise<LoadResult> {
  const connections = await Promise.all(
    Array.from({ length: task.connections }, (_, i) => H2Connection.open(task.endpoints[i % task.endpoints.length]!)),
  );
  const { path, next } = requests(task);
  const histogram = new Histogram();
  const state = { measuring: false, stopped: false, failures: 0, running: task.callers };
  const finished = new Promise<void>((resolve) => {
    const begin = (connection: H2Connection): void => {
      let startedMs = performance.now();
      const onAnswer = (answered: boolean): void => {
        const nowMs = performance.now();
        if (state.measuring) {
          if (answered) histogram.record(nowMs - startedMs);
          else state.failures++;
        }
        startedMs = nowMs;
        if (!state.stopped) connection.call(path, next(), onAnswer);
        else if (--state.running === 0) resolve();
      };
      connection.call(path, next(), onAnswer);
    };
    for (let i = 0; i < task.callers; i++) begin(connections[i % connections.length]!);
  });
  await delay(task.warmUpMs);
  state.measuring = true;
  const beganMs = performance.now();
  await delay(task.durationMs);
  state.measuring = false;
  const tookMs = performance.now() - beganMs;
  state.stopped = true;
  await Promise.race([finished, delay(5_000)]);
  for (const connection of connections) connection.close();
  return {
    perSecond: (histogram.count * 1000) / tookMs,
    count: histogram.count,
    failures: state.failures,
    meanMs: histogram.meanMs,
    p50Ms: histogram.percentileMs(0.5),
    p99Ms: histogram.percentileMs(0.99),
  };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
