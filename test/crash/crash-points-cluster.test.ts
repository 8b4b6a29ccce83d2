/**
 * Three real members, one of them killed with SIGKILL where only a cluster passes: a leader as it sends, a leader that reads its
 * state out for a member that lags, and the member that takes such a state in, at every step of it. Afterwards all three hold the
 * same, and everything acknowledged.
 */
import { type CrashPointName, SeededRandom } from '@quorate/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crashPointsAt } from '../support/crash-table.ts';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { Ledger } from '../support/ledger.ts';
import { load } from '../support/load.ts';
import { RawClient } from '../support/raw-client.ts';

const seed = Number(process.env['QUORATE_CRASH_SEED'] ?? 1);
const random = new SeededRandom(seed);

const flags = [
  ...['--wal-segment-bytes', '65536', '--snapshot-count', '30', '--snapshot-catchup-entries', '5'],
  ...['--backend-batch-limit', '40', '--compaction-batch-limit', '5', '--compaction-sleep-interval', '1ms'],
];
/** Written while a member is away: more than the log keeps for it. */
const missedCalls = 100;
/** Far more than any point needs. */
const callsMax = 2_000;

let cluster: KvdCluster;
const ledger = new Ledger(1_000);
const clients = new Map<KvdProcess, RawClient>();
let loads = 0;

beforeAll(async () => {
  cluster = await KvdCluster.create(3, flags);
  for (const member of cluster.members) {
    clients.set(member, new RawClient(member.endpoint));
    member.start();
  }
  await cluster.healthy();
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await cluster?.close();
});

test.each(crashPointsAt('receiver'))('a member that dies at %s of a received state gets it again', async (name) => {
  const { leader, others } = await roles();
  const away = others[0]!;
  await away.kill('SIGKILL');
  await write(leader, missedCalls);
  away.start({ env: { KVD_CRASH_AT: name } });
  await expectKilled(name, away);
  away.start();
  await away.healthy();
  await expectEqual();
});

test('no crash point of a leader is forgotten', () => {
  expect(crashPointsAt('leader').sort()).toEqual(['raftBeforeSendLeader', 'snapshotBeforeCreate']);
});

test('a leader that dies at snapshotBeforeCreate leaves the member that lags to the next leader', async () => {
  const armed = await lead('snapshotBeforeCreate');
  const away = cluster.members.find((member) => member !== armed)!;
  await away.kill('SIGKILL');
  await write(armed, missedCalls);
  away.start();
  await expectKilled('snapshotBeforeCreate', armed);
  await away.healthy();
  armed.start();
  await expectEqual();
});

describe('a leader that dies under load at', () => {
  const points: CrashPointName[] = [
    'raftBeforeSendLeader',
    'walBeforeAppend',
    'walAfterSyncBeforeAck',
    'raftAfterSave',
    'applyAfterDataBeforeIndex',
    'applyBeforeRespond',
    'backendAfterCommitBeforeFlush',
  ];
  test.each(points.map(specOf))('%s leaves all it acknowledged to the others', async (spec) => {
    const armed = await lead(spec);
    await write(armed, callsMax);
    await expectKilled(spec, armed);
    armed.start();
    await expectEqual();
  });
});

describe('a follower that dies under load at', () => {
  const points: CrashPointName[] = [
    'walAfterAppendBeforeSync',
    'walAfterSyncBeforeAck',
    'raftBeforeSendFollower',
    'raftBeforeApply',
    'backendBeforeCommit',
  ];
  test.each(points.map(specOf))('%s catches up with the others', async (spec) => {
    const { leader, others } = await roles();
    const armed = others[0]!;
    await armed.kill('SIGKILL');
    armed.start({ env: { KVD_CRASH_AT: spec } });
    await armed.healthy();
    await write(leader, callsMax, () => !armed.running);
    await expectKilled(spec, armed);
    armed.start();
    await expectEqual();
  });
});

/** Far enough in that what a start passes by itself is behind. */
function specOf(name: CrashPointName): string {
  const passes = name.startsWith('backend') ? 5 : 60;
  return `${name}:${passes + random.below(passes)}`;
}

async function roles(): Promise<{ leader: KvdProcess; others: KvdProcess[] }> {
  return waitFor('a leader', 30_000, async () => {
    for (const member of cluster.members) {
      const status = await clients
        .get(member)!
        .status(2_000)
        .catch(() => undefined);
      if (status === undefined || status.leader === 0n || status.leader !== status.header?.memberId) continue;
      return { leader: member, others: cluster.members.filter((other) => other !== member) };
    }
    return undefined;
  });
}

/** A member with `spec` armed that leads. */
async function lead(spec: string): Promise<KvdProcess> {
  const { others } = await roles();
  const armed = others[0]!;
  await armed.kill('SIGKILL');
  armed.start({ env: { KVD_CRASH_AT: spec } });
  await armed.healthy();
  await clients.get(armed)!.ready();
  const { header } = await clients.get(armed)!.status();
  await waitFor(`${armed.options.name} to lead`, 30_000, async () => {
    const { leader } = await roles();
    if (leader === armed) return true;
    await clients
      .get(leader)!
      .moveLeader(header!.memberId)
      .catch(() => undefined);
    return undefined;
  });
  return armed;
}

/** Writes at `member` from several callers, until each has made its calls, or failed, or is told to end. */
async function write(member: KvdProcess, calls: number, until = (): boolean => false): Promise<void> {
  const client = clients.get(member)!;
  await client.ready();
  await load({ client, ledger, name: `load${++loads}`, callsMax: calls, until });
}

async function expectKilled(spec: string, member: KvdProcess): Promise<void> {
  const alive = new Promise<string>((resolve) => setTimeout(resolve, 20_000, 'still alive').unref());
  const end = await Promise.race([member.exited(), alive]);
  expect(end, `${spec}\n${member.log().slice(-3_000)}`).toBe('SIGKILL');
}

/** All three serve, hold the same, and what they hold is what was acknowledged. */
async function expectEqual(): Promise<void> {
  await cluster.healthy();
  const all = [...clients.values()];
  await Promise.all(all.map((client) => client.ready()));
  // A leader may be about to change again: what matters is that a write goes through before long.
  const { header } = await waitFor('a write', 30_000, () => all[0]!.put('after', 'the crash').catch(() => undefined));
  const revision = header!.revision;
  expect(revision).toBeGreaterThan(ledger.lastRevision);
  const hashes = new Set<number>();
  for (const [member, client] of clients) {
    // Linearizable: whoever answers has applied everything before.
    await client.range({ key: Buffer.from('after') });
    const kvs = await client.everything(revision);
    const foreign = kvs.filter((kv) => kv.key.toString() !== 'after');
    expect(ledger.problems(foreign), `${member.options.name}\n${member.log().slice(-3_000)}`).toEqual([]);
    hashes.add((await client.hashKv(revision)).hash);
  }
  expect(hashes.size).toBe(1);
}
