/**
 * kvctl while members die: one after the other is killed with SIGKILL and started again, so that whichever member a command is
 * connected to dies under it at least once. Watches miss and repeat nothing, locks stay with who holds them and go to who is next.
 */
import { Client, compare, op } from '@quorate/client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { CommandSession } from '../support/command-session.ts';
import { KvdCluster, kvctlProgram, waitFor } from '../support/kvd-process.ts';

describe('while members are killed one after the other', () => {
  let cluster: KvdCluster;
  let client: Client;
  const sessions: CommandSession[] = [];
  beforeAll(async () => {
    cluster = await KvdCluster.start(3);
    client = new Client({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  });
  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.kill();
  });
  afterAll(async () => {
    client?.close();
    await cluster?.close();
  });

  function start(...args: string[]): CommandSession {
    const words = [process.execPath, kvctlProgram, '--endpoints', cluster.endpoints.join(','), ...args];
    const session = new CommandSession(words);
    sessions.push(session);
    return session;
  }

  /** Each dies once, without a warning; `during` runs while it is down. */
  async function killEach(during: (n: number) => Promise<void>): Promise<void> {
    for (const [n, member] of cluster.members.entries()) {
      await member.kill('SIGKILL');
      await during(n);
      member.start();
      await cluster.healthy();
    }
  }

  async function keys(prefix: string): Promise<string[]> {
    return (await client.kv.get(prefix, { prefix: true })).kvs.map(({ key }) => String(key));
  }

  test('watch shows every event once and in order, and runs a command for each', async () => {
    const plain = start('watch', 'w/', '--prefix', '--rev', '1');
    const running = start('watch', 'w/', '--prefix', '--rev', '1', '--', 'sh', '-c', 'echo "ran $ETCD_WATCH_VALUE"');
    const values: string[] = [];
    /** One event, however often it takes to have it written. */
    const write = async (value: string): Promise<void> => {
      values.push(value);
      const request = {
        compare: [compare.createRevision(`w/${value}`, '=', 0)],
        success: [op.put(`w/${value}`, value)],
      };
      await client.kv.txn(request, { retry: 'always' });
    };
    await write('first');
    await Promise.all([plain.says(/\nfirst\n/), running.says(/ran "first"\n/)]);
    await killEach(async (n) => {
      for (let i = 0; i < 10; i += 1) await write(`v${n}-${i}`);
      // On another member by now: it has these events although its own is down.
      await Promise.all([plain.says(new RegExp(`\nv${n}-9\n`)), running.says(new RegExp(`ran "v${n}-9"\n`))]);
    });
    await write('last');
    await Promise.all([plain.says(/\nlast\n/), running.says(/ran "last"\n/)]);
    expect(plain.stdout).toBe(values.map((value) => `PUT\nw/${value}\n${value}\n`).join(''));
    expect([...running.stdout.matchAll(/^ran "(.*)"$/gm)].map(([, value]) => value)).toEqual(values);
  });

  test('watch waits for a majority and goes on where it was', async () => {
    const [survivor, ...others] = cluster.members;
    const revision = (await client.kv.put('m/0', 'before')).header!.revision;
    const words = ['--endpoints', survivor!.endpoint, 'watch', 'm/', '--prefix', '--rev', String(revision)];
    const session = new CommandSession([process.execPath, kvctlProgram, ...words]);
    sessions.push(session);
    await session.says(/before\n/);
    for (const member of others) await member.kill('SIGKILL');
    await session.warns(/no endpoint sees a leader/, 60_000);
    for (const member of others) member.start();
    await cluster.healthy();
    await client.kv.put('m/1', 'after');
    await session.says(/after\n/);
    expect(session.stdout).toBe('PUT\nm/0\nbefore\nPUT\nm/1\nafter\n');
  });

  test('lock is held through all of it, and the next one in line gets it', async () => {
    const holder = start('lock', 'l', '--ttl', '20');
    const [held] = await holder.says(/^l\/.*\n/);
    const worker = start('lock', 'l', '--ttl', '20', 'sh', '--', '-c', 'echo "got $ETCD_LOCK_KEY"; exit 7');
    await waitFor('somebody to wait', 30_000, async () => ((await keys('l/')).length === 2 ? true : undefined));
    await killEach(async () => {
      expect(await keys('l/')).toContain(held.trimEnd());
      expect(worker.stdout).toBe('');
    });
    holder.signal('SIGTERM');
    expect(await holder.ended()).toEqual({ end: 0, stdout: `${held}\n`, stderr: '' });
    expect(await worker.ended()).toMatchObject({ end: 7, stdout: expect.stringMatching(/^got l\/[0-9a-f]+\n$/) });
    expect(await keys('l/')).toEqual([]);
  });

  test('elect goes on leading, and listening', async () => {
    const leader = start('elect', 'e', 'one');
    await leader.says(/one\n/);
    const listener = start('elect', '-l', 'e');
    await listener.says(/one\n/);
    const next = start('elect', 'e', 'two');
    await waitFor('a second candidate', 30_000, async () => ((await keys('e/')).length === 2 ? true : undefined));
    await killEach(async () => expect(next.stdout).toBe(''));
    leader.signal('SIGINT');
    expect(await leader.ended()).toMatchObject({ end: 0, stderr: '' });
    await next.says(/two\n/);
    await listener.says(/one\n[\s\S]*two\n/);
    expect(listener.stdout.match(/^(?:one|two)$/gm)).toEqual(['one', 'two']);
  });

  test('lease keep-alive keeps a short lease alive', async () => {
    const { id } = await client.lease.grant(10);
    const keeper = start('lease', 'keep-alive', id.toString(16));
    await keeper.says(/keepalived/);
    await client.kv.put('k', 'v', { lease: id });
    await killEach(async () => {});
    expect((await client.lease.timeToLive(id, { keys: true })).keys.map(String)).toEqual(['k']);
    await client.lease.revoke(id);
    expect(await keeper.ended()).toMatchObject({ end: 0, stdout: expect.stringMatching(/expired or revoked\.\n$/) });
  });
});
