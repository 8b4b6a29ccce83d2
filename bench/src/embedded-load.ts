/**
 * One measurement of what a Node.js service gets, in a process of its own: closed-loop callers of an embedded member, or of an etcd
 * through the npm client `etcd3`. The task is the first argument, the result one line of JSON.
 *
 * Every call is its own promise, as a service would make it; keys have 8 bytes, values 256, 10,000 keys are used in turn.
 */
import { performance } from 'node:perf_hooks';
import { Etcd3 } from 'etcd3';
import { open } from 'quorate';
import { Histogram } from './load/histogram.ts';

/** What is measured. */
export interface EmbeddedTask {
  /** `endpoint`: of an etcd. */
  readonly subject: { readonly dataDir: string } | { readonly endpoint: string };
  readonly operation: 'put' | 'get';
  readonly callers: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

/** What came out. */
export interface EmbeddedResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of this process: with an embedded member that is everything, with a client the client's half. */
  readonly cpuMicrosPerOperation: number;
}

interface Subject {
  put(key: string, value: Buffer): Promise<unknown>;
  get(key: string): Promise<unknown>;
  close(): Promise<void>;
}

const keys = Array.from({ length: 10_000 }, (_, i) => String(i).padStart(8, '0'));
const value = Buffer.alloc(256, 'v');

async function subjectOf(subject: EmbeddedTask['subject']): Promise<Subject> {
  if ('endpoint' in subject) {
    const client = new Etcd3({ hosts: `http://${subject.endpoint}` });
    return {
      put: (key, bytes) => client.put(key).value(bytes).exec(),
      get: (key) => client.get(key).buffer(),
      close: async () => client.close(),
    };
  }
  const db = await open({ dataDir: subject.dataDir, tuning: { quotaBackendBytes: 8 * 1024 ** 3 } });
  return {
    put: (key, bytes) => db.kv.put(key, bytes),
    get: (key) => db.kv.get(key),
    close: () => db.close(),
  };
}

async function run(task: EmbeddedTask): Promise<EmbeddedResult> {
  const subject = await subjectOf(task.subject);
  const call = (key: string): Promise<unknown> =>
    task.operation === 'put' ? subject.put(key, value) : subject.get(key);
  await Promise.all(keys.map((key) => subject.put(key, value)));
  const histogram = new Histogram();
  const fromMs = performance.now() + task.warmUpMs;
  const untilMs = fromMs + task.durationMs;
  let next = 0;
  let cpu: NodeJS.CpuUsage | undefined;
  const caller = async (): Promise<void> => {
    for (let nowMs = performance.now(); nowMs < untilMs; ) {
      await call(keys[next++ % keys.length]!);
      const doneMs = performance.now();
      if (nowMs >= fromMs) {
        cpu ??= process.cpuUsage();
        histogram.record(doneMs - nowMs);
      }
      nowMs = doneMs;
    }
  };
  await Promise.all(Array.from({ length: task.callers }, caller));
  const used = process.cpuUsage(cpu);
  await subject.close();
  return {
    perSecond: (histogram.count * 1_000) / task.durationMs,
    p50Ms: histogram.percentileMs(0.5),
    p99Ms: histogram.percentileMs(0.99),
    cpuMicrosPerOperation: (used.user + used.system) / histogram.count,
  };
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2]!) as EmbeddedTask))}\n`);
