import { describe, expect, test } from 'vitest';
import { Election } from './election.ts';
import { Session } from './session.ts';
import { MiniCluster } from './testing/mini-cluster.ts';

async function setup(count = 3) {
  const cluster = new MiniCluster();
  const client = cluster.client();
  const sessions = await Promise.all(Array.from({ length: count }, () => Session.open(client)));
  const elections = sessions.map((session) => new Election(session, 'post'));
  return { cluster, clock: cluster.clock, client, sessions, elections };
}

function observed(election: Election, signal?: AbortSignal): { readonly values: string[]; error: unknown } {
  const seen: { values: string[]; error: unknown } = { values: [], error: undefined };
  const read = async (): Promise<void> => {
    for await (const { kv } of election.observe(signal === undefined ? {} : { signal })) {
      seen.values.push(kv.value.toString());
    }
  };
  read().catch((error: unknown) => {
    seen.error = error;
  });
  return seen;
}

describe('an election', () => {
  test('is won by the first, then by the next', async () => {
    const { clock, elections } = await setup(2);
    await expect(elections[0]!.leader()).rejects.toMatchObject({ code: 'electionNoLeader' });
    await elections[0]!.campaign('a');
    let isElected = false;
    void elections[1]!.campaign('b').then(() => {
      isElected = true;
    });
    await clock.run(1);
    expect(isElected).toBe(false);
    expect((await elections[1]!.leader()).value.toString()).toBe('a');
    await elections[0]!.resign();
    await clock.run(1);
    expect(isElected).toBe(true);
    expect((await elections[0]!.leader()).value.toString()).toBe('b');
    expect(elections.map((election) => election.isLeader)).toEqual([false, true]);
  });

  test('goes on when the session of the leader ends; the old leader can say nothing more', async () => {
    const { cluster, clock, sessions, elections } = await setup(2);
    await elections[0]!.campaign('a');
    const campaign = elections[1]!.campaign('b');
    await clock.run(1);
    cluster.endLease(sessions[0]!.lease);
    await clock.settle(campaign);
    await expect(elections[0]!.proclaim('still me')).rejects.toMatchObject({ code: 'electionNotLeader' });
    expect(elections[0]!.place).toBeUndefined();
    expect(cluster.state).toEqual({ [`post/${sessions[1]!.lease.toString(16)}`]: 'b' });
  });

  test('lets a leader say something else, and stand again with another value', async () => {
    const { elections } = await setup(1);
    await expect(elections[0]!.proclaim('x')).rejects.toMatchObject({ code: 'electionNotLeader' });
    await elections[0]!.campaign('a');
    await elections[0]!.proclaim('b');
    expect((await elections[0]!.leader()).value.toString()).toBe('b');
    await elections[0]!.campaign('c');
    expect((await elections[0]!.leader()).value.toString()).toBe('c');
  });

  test('can be gone on with by another object of the session', async () => {
    const { client, sessions, elections } = await setup(1);
    await elections[0]!.campaign('a');
    const again = Election.resume(sessions[0]!, 'post', elections[0]!.place!);
    await again.proclaim('b');
    await again.resign();
    expect((await client.kv.get('post/', { prefix: true })).count).toBe(0);
    await again.resign();
  });

  test('forgets a candidate that gives up', async () => {
    const { cluster, clock, elections } = await setup(2);
    await elections[0]!.campaign('a');
    const result = await clock.settle(elections[1]!.campaign('b', { timeoutMs: 1_000 }));
    expect(result).toMatchObject({ status: 'rejected', reason: { message: 'context deadline exceeded' } });
    expect(Object.values(cluster.state)).toEqual(['a']);
    expect(cluster.watches.watchCount).toBe(0);
  });

  test('is observed: leaders, what they say, and those that come after', async () => {
    const { cluster, clock, sessions, elections } = await setup(3);
    const seen = observed(elections[2]!);
    await clock.run(1);
    await elections[0]!.campaign('a');
    await clock.run(1);
    const campaign = elections[1]!.campaign('b');
    await clock.run(1);
    // Later than the next leader's key, which is older but newer as a leader.
    await elections[0]!.proclaim('a2');
    await clock.run(1);
    cluster.endLease(sessions[0]!.lease);
    await clock.settle(campaign);
    await clock.run(1);
    await elections[1]!.resign();
    await clock.run(1);
    await elections[2]!.campaign('c');
    await clock.run(1);
    expect(seen.values).toEqual(['a', 'a2', 'b', 'c']);
  });

  test('is observed over breaks and compaction, and until the signal', async () => {
    const { cluster, clock, elections } = await setup(1);
    const abort = new AbortController();
    const seen = observed(elections[0]!, abort.signal);
    await clock.run(1);
    await elections[0]!.campaign('a');
    await clock.run(1);
    cluster.watches.cut();
    await elections[0]!.proclaim('b');
    cluster.put('other', '1');
    cluster.compact();
    await clock.run(5_000);
    await elections[0]!.proclaim('c');
    await clock.run(1);
    expect(seen.values).toEqual(['a', 'b', 'c']);
    abort.abort(new Error('enough'));
    await clock.run(1);
    expect(seen.error).toMatchObject({ message: 'enough' });
    expect(cluster.watches.watchCount).toBe(0);
  });
});
