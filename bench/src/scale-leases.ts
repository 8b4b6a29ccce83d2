/** Leases in great numbers: granted, renewed once each over ten streams, and left to end. */
import { LeaseKeepAliveRequest, services } from '@quorate/proto';
import { grantLeases } from './grants.ts';
import { H2Connection } from './load/h2-connection.ts';
import { LoopDelay, metricsOf } from './loop-delay.ts';
import type { Server } from './servers.ts';

const leaseTtlSeconds = 30;
const connectionCount = 10;
/** Renewals under way on one stream: what fits any server's window of flow control. */
const renewalsUnderWay = 500;
const expiryMs = 10_000;

/** Figures by what they mean; undefined where the server does not tell. */
export async function measureLeases(
  server: Server,
  count: number,
): Promise<Readonly<Record<string, number | undefined>>> {
  const endpoint = server.endpoints[0]!;
  const loop = new LoopDelay(endpoint);
  await loop.p99Ms();
  const before = server.usage();
  const connections = await Promise.all(Array.from({ length: connectionCount }, () => H2Connection.open(endpoint)));
  const grantMs = await timed(() => grantLeases(connections, { count, ttl: leaseTtlSeconds }));
  const grantLoop = await loop.p99Ms();
  const after = server.usage();
  const renewMs = await timed(() => renewAll(connections, count));
  const lastRenewalMs = performance.now();
  const renewLoop = await loop.p99Ms();
  await pause(leaseTtlSeconds * 1_000 - renewMs);
  while ((await expiredCount(endpoint)) === 0) await pause(20);
  const lateMs = performance.now() - lastRenewalMs - leaseTtlSeconds * 1_000 + renewMs;
  await loop.p99Ms();
  const expiredBefore = await expiredCount(endpoint);
  await pause(expiryMs);
  const expired = (await expiredCount(endpoint)) - expiredBefore;
  const endLoop = await loop.p99Ms();
  for (const connection of connections) connection.close();
  return {
    'granted/s': (count / grantMs) * 1_000,
    'loop delay p99 ms while granting': grantLoop,
    'KiB per lease': (after.residentBytes - before.residentBytes) / 1024 / count,
    'renewed/s': (count / renewMs) * 1_000,
    'loop delay p99 ms while renewing': renewLoop,
    'first end ms after its time': lateMs,
    'ended/s': (expired * 1_000) / expiryMs,
    'loop delay p99 ms while ending': endLoop,
    'resident MiB': server.usage().residentBytes / 1024 ** 2,
  };
}

function renewAll(connections: readonly H2Connection[], count: number): Promise<void> {
  return new Promise((resolve) => {
    let answers = 0;
    let next = 0;
    for (const connection of connections) {
      const send = connection.open(services.lease.methods.leaseKeepAlive.path, () => {
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
}

async function expiredCount(endpoint: string): Promise<number> {
  const found = /^etcd_debugging_server_lease_expired_total (\S+)$/m.exec(await metricsOf(endpoint));
  return Number(found?.[1] ?? 0);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
