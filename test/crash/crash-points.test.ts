/**
 * A real member of a cluster of one, killed with SIGKILL at every crash point it passes, and started again: everything
 * acknowledged is there, each revision once, and it goes on serving. `QUORATE_CRASH_ROUNDS` repeats the whole round with the n-th
 * passing drawn anew, from `QUORATE_CRASH_SEED`.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CrashPointName, SeededRandom } from '@quorate/base';
import { afterEach, describe, expect, test } from 'vitest';
import { crashPlaces, crashPointsAt } from '../support/crash-table.ts';
import { KvdCluster, type KvdProcess } from '../support/kvd-process.ts';
import { Ledger } from '../support/ledger.ts';
import { load } from '../support/load.ts';
import { RawClient } from '../support/raw-client.ts';

const rounds = Number(process.env['QUORATE_CRASH_ROUNDS'] ?? 1);
const seed = Number(process.env['QUORATE_CRASH_SEED'] ?? 1);

/** Everything often: segments of a few dozen groups, a log of a few dozen entries, small batches, a quick election. */
const flags = [
  ...['--wal-segment-bytes', '65536', '--snapshot-count', '30', '--snapshot-catchup-entries', '5'],
  ...['--backend-batch-limit', '40', '--compaction-batch-limit', '5', '--compaction-sleep-interval', '1ms'],
  ...['--heartbeat-interval', '20', '--election-timeout', '100'],
];
const callsMax = 1_000;
const sectorBytes = 512;
/** More than stands behind a value in its group (the rest of its entry, the group's end), less than with another group. */
const groupEndBytesMax = 100;

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close();
});

interface Alone {
  readonly member: KvdProcess;
  readonly client: RawClient;
  readonly ledger: Ledger;
}

async function memberAlone(valueBytes = 1_000): Promise<Alone> {
  const cluster = await KvdCluster.create(1, flags);
  const member = cluster.members[0]!;
  const client = new RawClient(member.endpoint);
  open.push(cluster, client);
  return { member, client, ledger: new Ledger(valueBytes) };
}

/** Starts the member with `spec` armed and writes until it is dead. */
async function dieAt(spec: string, { member, client, ledger }: Alone, name: string): Promise<void> {
  member.start({ env: { KVD_CRASH_AT: spec } });
  const isServing = await member.healthy().then(
    () => true,
    (error: unknown) => {
      if (member.running) throw error;
      return false;
    },
  );
  if (isServing) await client.ready().catch(() => undefined);
  if (isServing) await load({ client, ledger, name, callsMax });
  await expectKilled(spec, member);
}

async function expectKilled(spec: string, member: KvdProcess): Promise<void> {
  const alive = new Promise<string>((resolve) => setTimeout(resolve, 10_000, 'still alive').unref());
  const end = await Promise.race([member.exited(), alive]);
  expect(end, `${spec}\n${member.log().slice(-3_000)}`).toBe('SIGKILL');
}

/** Starts the member and compares its store with the ledger. */
async function expectWhole({ member, client, ledger }: Alone): Promise<void> {
  member.start();
  await member.healthy();
  await client.ready();
  const { revision } = (await client.range({ key: Buffer.from('nothing') })).header!;
  expect(revision).toBeGreaterThanOrEqual(ledger.lastRevision);
  const kvs = await client.everything(revision);
  expect(ledger.problems(kvs), member.log().slice(-3_000)).toEqual([]);
  const { header } = await client.put('after', 'the crash');
  expect(header!.revision).toBe(revision + 1);
}

describe.each(Array.from({ length: rounds }, (_, i) => i + 1))('round %i: a member killed at', (round) => {
  const random = new SeededRandom(seed * 1_000 + round);
  const specs = crashPointsAt('alone').map((name) => `${name}:${1 + random.below(passesOf(name))}`);

  test.each(specs)('%s has lost nothing', async (spec) => {
    const alone = await memberAlone();
    await dieAt(spec, alone, 'load');
    await expectWhole(alone);
  });

  test.each(crashPointsAt('recovery').filter((name) => !isTorn(name)))('%s, twice, has lost nothing', async (name) => {
    const alone = await memberAlone();
    await dieAt(`raftBeforeApply:${20 + random.below(60)}`, alone, 'load');
    await dieAt(name, alone, 'none');
    await dieAt(name, alone, 'none');
    await expectWhole(alone);
  });

  test.each(crashPointsAt('recovery').filter(isTorn))('%s, twice, has lost nothing', async (name) => {
    const alone = await memberAlone(10 * sectorBytes);
    await dieWithTornLog(alone, random);
    await dieAt(name, alone, 'none');
    await dieAt(name, alone, 'none');
    await expectWhole(alone);
    expect(logFiles(alone.member).filter((file) => file.endsWith('.torn'))).toHaveLength(1);
  });
});

function passesOf(name: CrashPointName): number {
  const place = crashPlaces[name];
  return place.at === 'alone' ? place.passes : 1;
}

function isTorn(name: CrashPointName): boolean {
  const place = crashPlaces[name];
  return place.at === 'recovery' && place.torn;
}

/**
 * Kills the member between a sync and its acknowledgement, then takes some sectors of the last group away, as a loss of power
 * before the end of the sync would. One caller writes, so the last group holds its last write or none at all.
 */
async function dieWithTornLog({ member, client, ledger }: Alone, random: SeededRandom): Promise<void> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const spec = `walAfterSyncBeforeAck:${20 + random.below(20)}`;
    member.start({ env: { KVD_CRASH_AT: spec } });
    await member.healthy();
    await client.ready();
    let lost: string | undefined;
    for (let i = 0; lost === undefined; i++) {
      const put = ledger.put(`torn/${attempt}/${i}`);
      lost = await client.put(put.key, put.value).then(
        ({ header }) => void ledger.acknowledge([put], header!.revision),
        () => put.value,
      );
    }
    await expectKilled(spec, member);
    if (tearLastGroup(member, lost, random)) return;
  }
  throw new Error('the member never died with a write in its last group');
}

/** Zeroes some of the sectors that hold `value`, if it is in the last group; true when it was. */
function tearLastGroup(member: KvdProcess, value: string, random: SeededRandom): boolean {
  const segment = logFiles(member).findLast((file) => file.endsWith('.wal'))!;
  const bytes = readFileSync(segment);
  const from = bytes.indexOf(value);
  if (from === -1) return false;
  const to = from + value.length;
  if (bytes.subarray(to + groupEndBytesMax).some((byte) => byte !== 0)) return false;
  const sectors: number[] = [];
  for (let at = Math.ceil(from / sectorBytes) * sectorBytes; at + sectorBytes <= to; at += sectorBytes)
    sectors.push(at);
  const torn = sectors.filter((_, i) => i === 0 || random.below(2) === 0);
  for (const at of torn) bytes.fill(0, at, at + sectorBytes);
  writeFileSync(segment, bytes);
  return true;
}

function logFiles({ options }: KvdProcess): string[] {
  const directory = join(options.directory, 'wal');
  return readdirSync(directory)
    .sort()
    .map((name) => join(directory, name));
}
