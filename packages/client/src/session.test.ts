import { describe, expect, test } from 'vitest';
import { LeaseLostError } from './errors.ts';
import { Session, SessionClosedError } from './session.ts';
import { type Fault, MiniCluster } from './testing/mini-cluster.ts';

function setup() {
  const cluster = new MiniCluster();
  return { cluster, clock: cluster.clock, client: cluster.client() };
}

describe('a session', () => {
  test('has a lease that lives as long as it does', async () => {
    const { cluster, clock, client } = setup();
    const session = await Session.open(client, { ttl: 6 });
    expect(cluster.leases.get(session.lease)).toBe(6);
    expect(session.isAlive).toBe(true);
    await clock.run(60_000);
    expect(session.isAlive).toBe(true);
    await session.close();
    expect(cluster.leases.size).toBe(0);
    expect(session.isAlive).toBe(false);
    expect(session.done.reason).toBeInstanceOf(SessionClosedError);
    client.close();
    await clock.run(1);
    expect(clock.pending).toBe(0);
  });

  test('is over when its lease is', async () => {
    const { cluster, clock, client } = setup();
    const session = await Session.open(client, { ttl: 6 });
    cluster.endLease(session.lease);
    await clock.run(2_000);
    expect(session.done.reason).toEqual(new LeaseLostError(session.lease, 'gone'));
    expect(session.isAlive).toBe(false);
  });

  test('is over when nobody answers for the TTL since the grant was sent', async () => {
    const { cluster, clock, client } = setup();
    cluster.network.serveStream = () => {};
    const session = await Session.open(client, { ttl: 6 });
    await clock.run(5_999);
    expect(session.isAlive).toBe(true);
    await clock.run(1);
    expect(session.done.reason).toEqual(new LeaseLostError(session.lease, 'expired'));
  });

  test('may take over a lease, which must exist', async () => {
    const { clock, client } = setup();
    const { id } = await client.lease.grant(6);
    const session = await Session.open(client, { lease: id });
    expect(session.lease).toBe(id);
    expect(session.isAlive).toBe(true);
    await expect(Session.open(client, { lease: 99n })).rejects.toMatchObject({ code: 'leaseNotFound' });
    session.orphan();
    await clock.run(10_000);
    expect(session.isAlive).toBe(false);
    expect((await client.lease.timeToLive(id)).ttl).toBe(6);
  });

  test('may be closed again, after its lease has ended, and although the answer is lost', async () => {
    const { cluster, clock, client } = setup();
    const session = await Session.open(client);
    const faults: Fault[] = ['after'];
    cluster.fault = () => faults.pop() ?? 'none';
    expect(await clock.settle(session.close())).toMatchObject({ status: 'fulfilled' });
    expect(await clock.settle(session.close())).toMatchObject({ status: 'fulfilled' });
    expect(cluster.leases.size).toBe(0);
    for (const endpoint of client.endpoints) cluster.network.behaviour.set(endpoint, 'refused');
    expect(await clock.settle(session.close({ timeoutMs: 100 }))).toMatchObject({ status: 'rejected' });
  });
});
