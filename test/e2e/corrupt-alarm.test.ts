/**
 * Members that hold different histories although each is sound in itself, in real processes: found before serving, by the leader's
 * periodic check and by hashes of compactions; the alarm that follows does what etcd's does.
 */
import { AlarmRequest, AlarmRequestAlarmAction, AlarmType, services } from '@quorate/proto';
import { afterEach, expect, test } from 'vitest';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { forgeValue } from '../support/page-damage.ts';
import { RawClient } from '../support/raw-client.ts';

/** Of processes that have all the time they need. */
const limitMs = 60_000;
const needle = 'a value that all members agree on';

let cluster: KvdCluster | undefined;
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await cluster?.close();
  cluster = undefined;
});

function clientOf(member: KvdProcess): RawClient {
  const client = new RawClient(member.endpoint);
  clients.push(client);
  return client;
}

/** A cluster of three whose third member is down and holds another value than the others. */
async function forged(...flags: string[]): Promise<readonly KvdProcess[]> {
  cluster = await KvdCluster.start(3, flags);
  const [one, , three] = cluster.members as [KvdProcess, KvdProcess, KvdProcess];
  const { header } = await clientOf(one).put('agreed', needle);
  await waitFor('the write on the third member', limitMs, async () =>
    (await clientOf(three).status()).header!.revision >= header!.revision ? true : undefined,
  );
  await three.kill('SIGTERM');
  forgeValue(three.options.directory, needle);
  return cluster.members;
}

async function alarms(member: KvdProcess) {
  const request = AlarmRequest.create({ action: AlarmRequestAlarmAction.GET });
  return (await clientOf(member).call(services.maintenance.methods.alarm, request)).alarms;
}

/** Waits for the CORRUPT alarm, and returns whose it is. */
function corruptMember(member: KvdProcess): Promise<bigint> {
  return waitFor('the alarm', limitMs, async () => {
    const raised = (await alarms(member)).find(({ alarm }) => alarm === AlarmType.CORRUPT);
    return raised?.memberID;
  });
}

test(
  'one that differs is refused before it serves, gets the alarm when it serves, and all is well once it is rebuilt',
  async () => {
    const [one, two, three] = (await forged('--corrupt-check-time', '300ms')) as [KvdProcess, KvdProcess, KvdProcess];
    three.start({ flags: ['--feature-gates=InitialCorruptCheck=true'] });
    expect(await three.exited()).toBe(1);
    expect(three.log()).toContain('m3 found data inconsistency with peers: at revision 2');
    three.start();
    await waitFor('the third member', limitMs, () =>
      clientOf(three)
        .status()
        .catch(() => undefined),
    );
    const { memberId } = (await clientOf(three).status()).header!;
    expect(await corruptMember(one)).toBe(memberId);
    // As in etcd: nobody writes, everybody reads.
    await expect(clientOf(two).put('agreed', 'no more')).rejects.toThrow('etcdserver: corrupt cluster');
    await expect(clientOf(two).delete('agreed')).rejects.toThrow('etcdserver: corrupt cluster');
    expect((await clientOf(two).range({ key: Buffer.from('agreed') })).kvs[0]!.value.toString()).toBe(needle);
    const health = await fetch(`http://${two.endpoint}/health`);
    expect([health.status, await health.text()]).toEqual([503, '{"health":"false","reason":"ALARM CORRUPT"}\n']);
    expect((await fetch(`http://${two.endpoint}/readyz`)).status).toBe(503);
    await three.kill('SIGTERM');
    three.start({ flags: ['--rebuild-store=yes', '--feature-gates=InitialCorruptCheck=true'] });
    await waitFor('the rebuilt member', limitMs, () =>
      clientOf(three)
        .status()
        .catch(() => undefined),
    );
    const disarm = { action: AlarmRequestAlarmAction.DEACTIVATE, memberID: memberId, alarm: AlarmType.CORRUPT };
    await clientOf(one).call(services.maintenance.methods.alarm, AlarmRequest.create(disarm));
    const { header } = await clientOf(two).put('agreed', 'again');
    const hashes = await Promise.all(
      [one, two, three].map((member) =>
        waitFor('the hash', limitMs, () =>
          clientOf(member)
            .hashKv(header!.revision)
            .catch(() => undefined),
        ),
      ),
    );
    expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
  },
  3 * limitMs,
);

test(
  'one that differs is found by the hash of a compaction',
  async () => {
    const check = ['--experimental-compact-hash-check-enabled', '--experimental-compact-hash-check-time', '300ms'];
    const [one, two, three] = (await forged(...check)) as [KvdProcess, KvdProcess, KvdProcess];
    three.start();
    await three.healthy(limitMs);
    const { header } = await clientOf(two).put('another', 'revision');
    await clientOf(one).compact(header!.revision);
    expect(await corruptMember(one)).toBe((await clientOf(three).status()).header!.memberId);
  },
  3 * limitMs,
);
