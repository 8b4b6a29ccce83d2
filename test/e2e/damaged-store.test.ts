/**
 * A member whose store holds other bytes than were written, in real processes: it never gives a wrong answer, says what happened,
 * does not come back with that store, and is rebuilt from the others, who do not notice, with the documented command.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { type DamagedPart, damageStore } from '../support/page-damage.ts';
import { RawClient } from '../support/raw-client.ts';

/** Of processes that have all the time they need. */
const limitMs = 60_000;
const needle = 'the needle in the store';
/** The log is cut often: no member could make its store again from its own log. */
const shortLog = ['--snapshot-count', '100', '--snapshot-catchup-entries', '20'];

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

/** 400 keys with values that say whose they are, on so many pages that some lead to others. */
async function fill(client: RawClient): Promise<void> {
  await client.put('needle', needle);
  for (let batch = 0; batch < 20; batch++) {
    const pairs = Array.from({ length: 20 }, (_, i) => `key ${batch * 20 + i}`);
    await client.putAll(pairs.map((key) => [key, `${key} `.repeat(40)] as const));
  }
  for (let i = 0; i < 120; i++) await client.put('counter', String(i));
}

/** A cluster of three with data. */
async function filled(...flags: string[]): Promise<readonly [KvdProcess, KvdProcess, KvdProcess]> {
  cluster = await KvdCluster.start(3, [...shortLog, ...flags]);
  await fill(clientOf(cluster.members[0]!));
  return cluster.members as readonly KvdProcess[] as readonly [KvdProcess, KvdProcess, KvdProcess];
}

/** What the store says of itself is the same on all, at the same revision. */
async function expectLevel(members: readonly KvdProcess[]): Promise<void> {
  const { header } = await clientOf(members[0]!).put('level', 'with each other');
  const revision = header!.revision;
  const all = members.map((member) => clientOf(member));
  await waitFor('members at the same revision', limitMs, async () => {
    const statuses = await Promise.all(all.map((client) => client.hashKv()));
    return statuses.every((status) => status.header!.revision >= revision) ? true : undefined;
  });
  const hashes = await Promise.all(all.map((client) => client.hashKv(revision)));
  expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
}

/** Every answer is what was written; no answer is fine, too. Returns how many came. */
async function readEverything(client: RawClient): Promise<number> {
  let answers = 0;
  for (let i = 0; i < 400; i++) {
    const key = `key ${i}`;
    const answer = await client.range({ key: Buffer.from(key), serializable: true }, 5_000).catch(() => undefined);
    if (answer === undefined) break;
    expect(answer.kvs.map(({ value }) => value.toString())).toEqual([`${key} `.repeat(40)]);
    answers++;
  }
  return answers;
}

async function roles(members: readonly KvdProcess[]): Promise<{ leader: KvdProcess; others: KvdProcess[] }> {
  const statuses = await Promise.all(members.map((member) => clientOf(member).status()));
  const leader = members.find((_, i) => statuses[i]!.leader === statuses[i]!.header!.memberId)!;
  return { leader, others: members.filter((member) => member !== leader) };
}

const noteOf = (member: KvdProcess): string => join(member.options.directory, 'store-damaged');

describe('a member whose store was damaged while it was down', () => {
  test.each<DamagedPart>(['value', 'leafKey', 'branch', 'meta'])(
    'does not start, and is rebuilt from the others with one command: a byte of its %s',
    async (part) => {
      const [one, two, damaged] = await filled();
      await damaged.kill('SIGTERM');
      damageStore(damaged.options.directory, part, needle);
      damaged.start();
      expect(await damaged.exited()).toBe(3);
      expect(damaged.log()).toContain('--rebuild-store=damaged');
      expect(existsSync(noteOf(damaged))).toBe(true);
      // Nor does it the next time, at once.
      damaged.start();
      expect(await damaged.exited()).toBe(3);
      expect(damaged.log()).toContain('the store was found damaged');
      await clientOf(one).put('the others', 'go on');
      expect((await clientOf(two).range({ key: Buffer.from('the others') })).count).toBe(1);
      damaged.start({ flags: ['--rebuild-store=damaged'] });
      await damaged.healthy(limitMs);
      expect(existsSync(noteOf(damaged))).toBe(false);
      expect(existsSync(join(damaged.options.directory, 'db.damaged'))).toBe(true);
      await expectLevel([one, two, damaged]);
      expect(await readEverything(clientOf(damaged))).toBe(400);
      // The flag may stay: a sound store is left alone.
      await damaged.kill('SIGTERM');
      damaged.start({ flags: ['--rebuild-store=damaged'] });
      await damaged.healthy(limitMs);
      expect(damaged.log().match(/rebuilt the store/g)).toHaveLength(1);
    },
    3 * limitMs,
  );
});

describe('a member whose store is damaged while it runs', () => {
  test(
    'finds it by itself where nobody reads, ends, and the others go on',
    async () => {
      const [one, two, damaged] = await filled('--scrub-interval', '200ms');
      damageStore(damaged.options.directory, 'value', needle);
      expect(await damaged.exited()).toBe(3);
      expect(damaged.log()).toContain('row does not match its checksum');
      await clientOf(one).put('the others', 'go on');
      damaged.start({ flags: ['--rebuild-store=damaged'] });
      await damaged.healthy(limitMs);
      await expectLevel([one, two, damaged]);
    },
    3 * limitMs,
  );

  test(
    'never gives a wrong answer to a read that meets it, also when it leads',
    async () => {
      const members = await filled('--scrub-interval', '0');
      const { leader, others } = await roles(members);
      damageStore(leader.options.directory, 'value', needle);
      const answer = clientOf(leader).range({ key: Buffer.from('needle') });
      await expect(answer).rejects.toThrow();
      expect(await leader.exited()).toBe(3);
      expect(existsSync(noteOf(leader))).toBe(true);
      await waitFor('another leader', limitMs, () =>
        clientOf(others[0]!)
          .put('the others', 'go on')
          .catch(() => undefined),
      );
      leader.start({ flags: ['--rebuild-store=damaged'] });
      await leader.healthy(limitMs);
      await expectLevel(members);
    },
    3 * limitMs,
  );

  test(
    'does not pass it on to a member that it brings up to date',
    async () => {
      const members = await filled('--scrub-interval', '0');
      const { leader, others } = await roles(members);
      const late = others[0]!;
      await late.kill('SIGTERM');
      const client = clientOf(leader);
      for (let i = 0; i < 300; i++) await client.put('counter', String(i));
      damageStore(leader.options.directory, 'value', needle);
      late.start();
      expect(await leader.exited()).toBe(3);
      expect(leader.log()).toContain('row does not match its checksum');
      // It has the state from the one that leads then.
      await late.healthy(limitMs);
      expect(existsSync(noteOf(late))).toBe(false);
      leader.start({ flags: ['--rebuild-store=damaged'] });
      await leader.healthy(limitMs);
      await expectLevel(members);
    },
    3 * limitMs,
  );
});
