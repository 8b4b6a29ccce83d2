/**
 * How watches and leases scale on one member, kvd and, where installed, etcd one after the other:
 *
 *   npm run bench:scale -- [watches=1000,10000] [leases=100000] [writes=200] [only=kvd]
 *
 * Watches: all on one key, each on a stream of its own, a hundred to a connection; the next write starts when every watcher has
 * been given the last one. Leases: granted by 100 callers, renewed once each over ten streams, and left to expire for ten seconds.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  LeaseGrantRequest,
  LeaseKeepAliveRequest,
  PutRequest,
  services,
  WatchCreateRequest,
  WatchRequest,
} from '@quorate/proto';
import { H2Connection } from './load/h2-connection.ts';
import { Histogram } from './load/histogram.ts';
import { findEtcd, type Kind, type Server, startServer } from './servers.ts';

const options = new Map([
  ['watches', '1000,10000'],
  ['leases', '100000'],
  ['writes', '200'],
  ...process.argv.slice(2).map((arg) => arg.split('=') as [string, string]),
]);
const streamsPerConnection = 100;
const leaseTtlSeconds = 30;
/** Renewals under way on one stream: what fits any server's window of flow control. */
const renewalsUnderWay = 500;
const expiryMs = 10_000;
const { path: watchPath } = services.watch.methods.watch;
const { path: putPath } = services.kv.methods.put;
const { path: grantPath } = services.lease.methods.leaseGrant;
const { path: keepAlivePath } = services.lease.methods.leaseKeepAlive;

function tell(kind: Kind, what: string, figures: Readonly<Record<string, number | string>>): void {
  const text = Object.entries(figures).map(([name, value]) => {
    return `${name} ${typeof value === 'number' ? Number(value.toPrecision(3)) : value}`;
  });
  process.stdout.write(`${kind} ${what}: ${text.join(', ')}\n`);
}

function call(connection: H2Connection, path: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    connection.call(path, message, (answer) => {
      if (answer === undefined) reject(new Error(`${path} failed`));
      else resolve(Buffer.from(answer));
    });
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const mebibytes = (bytes: number): number => bytes / 1024 ** 2;

/** The upper bound of the bucket in which the 99th percentile lies, since an earlier reading, in milliseconds; kvd only. */
class LoopDelay {
  readonly #endpoint: string;
  #before: readonly number[] = [];

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  async p99Ms(): Promise<number | string> {
    const metrics = await metricsOf(this.#endpoint);
    const rows = [...metrics.matchAll(/^quorate_event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\S+)$/gm)];
    const counts = rows.map((row) => Number(row[2]));
    const since = counts.map((count, i) => count - (this.#before[i] ?? 0));
    this.#before = counts;
    const at = since.findIndex((count) => count >= (since.at(-1) ?? 0) * 0.99);
    return at < 0 ? 'unknown' : Number(rows[at]![1]) * 1_000;
  }
}

async function metricsOf(endpoint: string): Promise<string> {
  return (await fetch(`http://${endpoint}/metrics`)).text();
}

async function expiredCount(endpoint: string): Promise<number> {
  const found = /^etcd_debugging_server_lease_expired_total (\S+)$/m.exec(await metricsOf(endpoint));
  return Number(found?.[1] ?? 0);
}

async function watches(server: Server, count: number, writes: number): Promise<void> {
  const endpoint = server.endpoints[0]!;
  const loop = new LoopDelay(endpoint);
  const before = server.usage();
  const key = Buffer.from('watched');
  const createRequest = WatchCreateRequest.create({ key });
  const create = WatchRequest.encode(WatchRequest.create({ createRequest }));
  let given = 0;
  let notify: () => void = () => {};
  const connections: H2Connection[] = [];
  const startedMs = performance.now();
  for (let i = 0; i < count; i++) {
    if (i % streamsPerConnection === 0) connections.push(await H2Connection.open(endpoint));
    connections.at(-1)!.open(watchPath, () => {
      if (++given % count === 0) notify();
    })(create);
  }
  const round = (): Promise<void> => new Promise((resolve) => (notify = resolve));
  await round();
  const createdMs = performance.now() - startedMs;
  await loop.p99Ms();
  const idle = server.usage();
  const writer = await H2Connection.open(endpoint);
  const histogram = new Histogram();
  const writingMs = performance.now();
  for (let i = 0; i < writes; i++) {
    const all = round();
    const sentMs = performance.now();
    const put = call(writer, putPath, PutRequest.encode(PutRequest.create({ key, value: Buffer.alloc(100, 'v') })));
    await Promise.all([put, all]);
    histogram.record(performance.now() - sentMs);
  }
  const tookMs = performance.now() - writingMs;
  const after = server.usage();
  tell(server.kind, `${count} watchers`, {
    'created/s': (count / createdMs) * 1_000,
    'KiB per watcher': (idle.residentBytes - before.residentBytes) / 1024 / count,
    'events/s': (writes * count * 1_000) / tookMs,
    'all given p50 ms': histogram.percentileMs(0.5),
    'p99 ms': histogram.percentileMs(0.99),
    'CPU µs per event': ((after.cpuSeconds - idle.cpuSeconds) * 1e6) / (writes * count),
    'loop delay p99 ms': await loop.p99Ms(),
    'resident MiB': mebibytes(after.residentBytes),
  });
  for (const connection of [...connections, writer]) connection.close();
  await pause(1_000);
}

async function leases(server: Server, count: number): Promise<void> {
  const endpoint = server.endpoints[0]!;
  const loop = new LoopDelay(endpoint);
  await loop.p99Ms();
  const before = server.usage();
  const connections = await Promise.all(Array.from({ length: 10 }, () => H2Connection.open(endpoint)));
  const grantMs = await timed(async () => {
    let next = 0;
    const caller = async (connection: H2Connection): Promise<void> => {
      while (next < count) {
        const id = BigInt(++next);
        await call(
          connection,
          grantPath,
          LeaseGrantRequest.encode(LeaseGrantRequest.create({ id, ttl: leaseTtlSeconds })),
        );
      }
    };
    await Promise.all(Array.from({ length: 100 }, (_, i) => caller(connections[i % 10]!)));
  });
  const grantLoop = await loop.p99Ms();
  const after = server.usage();
  let lastRenewalMs = 0;
  const renewMs = await timed(async () => {
    let answers = 0;
    await new Promise<void>((resolve) => {
      let next = 0;
      for (const connection of connections) {
        const send = connection.open(keepAlivePath, () => {
          if (++answers === count) resolve();
          renewNext();
        });
        const renewNext = (): void => {
          if (next === count) return;
          send(LeaseKeepAliveRequest.encode(LeaseKeepAliveRequest.create({ id: BigInt(++next) })));
        };
        for (let i = 0; i < renewalsUnderWay; i++) renewNext();
      }
    });
    lastRenewalMs = performance.now();
  });
  const renewLoop = await loop.p99Ms();
  await pause(leaseTtlSeconds * 1_000 - renewMs);
  while ((await expiredCount(endpoint)) === 0) await pause(20);
  const lateMs = performance.now() - lastRenewalMs - leaseTtlSeconds * 1_000 + renewMs;
  await loop.p99Ms();
  const expiredBefore = await expiredCount(endpoint);
  await pause(expiryMs);
  const expired = (await expiredCount(endpoint)) - expiredBefore;
  tell(server.kind, `${count} leases`, {
    'granted/s': (count / grantMs) * 1_000,
    'loop delay p99 ms while granting': grantLoop,
    'KiB per lease': (after.residentBytes - before.residentBytes) / 1024 / count,
    'renewed/s': (count / renewMs) * 1_000,
    'loop delay p99 ms while renewing': renewLoop,
    'first end ms after its time': lateMs,
    'ended/s': (expired * 1_000) / expiryMs,
    'loop delay p99 ms while ending': await loop.p99Ms(),
    'resident MiB': mebibytes(server.usage().residentBytes),
  });
  for (const connection of connections) connection.close();
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const kinds: Kind[] = findEtcd() === undefined ? ['kvd'] : ['kvd', 'etcd'];
const numbers = (name: string): number[] => (options.get(name) ?? '').split(',').map(Number).filter(Boolean);
for (const kind of kinds.filter((one) => (options.get('only') ?? one) === one)) {
  const basePort = kind === 'kvd' ? 23_690 : 24_690;
  const server = await startServer(kind, 1, join(tmpdir(), 'quorate-scale', kind), basePort);
  try {
    for (const count of numbers('watches')) await watches(server, count, numbers('writes')[0]!);
    for (const count of numbers('leases')) await leases(server, count);
  } finally {
    await server.stop();
  }
}
