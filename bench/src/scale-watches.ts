/** Watch fan-out: one writer, and very many watchers of what it writes. */
import { PutRequest, services } from '@quorate/proto';
import { H2Connection } from './load/h2-connection.ts';
import { Histogram } from './load/histogram.ts';
import { LoopDelay } from './loop-delay.ts';
import type { Kind, Server } from './servers.ts';
import { openWatchers } from './watchers.ts';

/** Of one server. Times are from a write until all watchers have it. */
export interface FanOut {
  readonly watchers: number;
  readonly createdPerSecond: number;
  readonly eventsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosPerEvent: number;
  readonly bytesPerWatcher: number;
  readonly residentBytes: number;
  /** Upper bound of the bucket in which the 99th percentile lies; undefined where it is not told. */
  readonly loopP99Ms: number | undefined;
}

/** Medians over the rounds. */
export interface FanOutRow {
  readonly watchers: number;
  readonly figures: Readonly<Partial<Record<Kind, Omit<FanOut, 'watchers' | 'createdPerSecond' | 'loopP99Ms'>>>>;
}

const valueBytes = 100;

/** `watchers` watches on one key, which is written `writes` times: again when every watcher has been given what was before. */
export async function measureFanOut(server: Server, watchers: number, writes: number): Promise<FanOut> {
  const endpoint = server.endpoints[0]!;
  const loop = new LoopDelay(endpoint);
  const before = server.usage();
  let given = 0;
  let notify: () => void = () => {};
  const startedMs = performance.now();
  const open = await openWatchers({
    endpoint,
    count: watchers,
    keyOf: () => 'watched',
    onEvents: () => {
      if (++given % watchers === 0) notify();
    },
  });
  const createdMs = performance.now() - startedMs;
  await loop.p99Ms();
  const idle = server.usage();
  const writer = await H2Connection.open(endpoint);
  const put = PutRequest.encode(
    PutRequest.create({ key: Buffer.from('watched'), value: Buffer.alloc(valueBytes, 'v') }),
  );
  const histogram = new Histogram();
  const writingMs = performance.now();
  for (let i = 0; i < writes; i++) {
    const all = new Promise<void>((resolve) => (notify = resolve));
    const sentMs = performance.now();
    await Promise.all([writer.drain(services.kv.methods.put.path, put), all]);
    histogram.record(performance.now() - sentMs);
  }
  const tookMs = performance.now() - writingMs;
  const after = server.usage();
  const loopP99Ms = await loop.p99Ms();
  open.close();
  writer.close();
  return {
    watchers,
    createdPerSecond: (watchers / createdMs) * 1_000,
    eventsPerSecond: (writes * watchers * 1_000) / tookMs,
    p50Ms: histogram.percentileMs(0.5),
    p99Ms: histogram.percentileMs(0.99),
    cpuMicrosPerEvent: ((after.cpuSeconds - idle.cpuSeconds) * 1e6) / (writes * watchers),
    bytesPerWatcher: (idle.residentBytes - before.residentBytes) / watchers,
    residentBytes: after.residentBytes,
    loopP99Ms,
  };
}
