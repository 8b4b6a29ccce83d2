import { silentLogger } from '@quorate/base';
import { PeerMember } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { type MemberConfig, memberDefaults } from './config.ts';
import { checkOthersBeforeFounding, checkOthersBeforeRestart, findCluster } from './join.ts';
import type { RemoteInfo } from './peer-transport.ts';
import type { Runtime } from './runtime.ts';

const config: MemberConfig = {
  ...memberDefaults,
  name: 'c',
  initialCluster: ['a', 'b', 'c'].map((name) => ({ name, peerUrls: [`http://${name}:1`] })),
  advertiseClientUrls: [],
};

const peer = (id: bigint, name: string, more: Partial<PeerMember> = {}): PeerMember =>
  PeerMember.create({ id, name, peerUrls: [`http://${name}:1`], ...more });

const all = [peer(1n, 'a', { incarnation: 11n }), peer(2n, 'b', { incarnation: 12n }), peer(3n, 'c')];

const info = (more: Partial<RemoteInfo> = {}): RemoteInfo => ({
  clusterId: 7n,
  memberId: 1n,
  members: all,
  leader: 1n,
  appliedIndex: 10,
  ...more,
});

/** A world in which members answer at their URLs, or do not. */
function world(answers: Readonly<Record<string, RemoteInfo>>): { runtime: Runtime; asked: string[] } {
  const asked: string[] = [];
  const fetchInfo = (url: string): Promise<RemoteInfo> => {
    asked.push(url);
    const answer = answers[url];
    return answer === undefined ? Promise.reject(new Error('refused')) : Promise.resolve(answer);
  };
  return { runtime: { logger: silentLogger, peers: { fetchInfo } } as unknown as Runtime, asked };
}

describe('a member that joins', () => {
  test('takes its ids from the member that is furthest, and asks only others', async () => {
    const behind = info({ members: all.slice(0, 2), appliedIndex: 9 });
    const { runtime, asked } = world({ 'http://a:1': behind, 'http://b:1': info() });
    expect(await findCluster(config, runtime)).toEqual({ clusterId: 7n, memberId: 3n });
    expect(asked.sort()).toEqual(['http://a:1', 'http://b:1']);
  });

  const refusals: [string, Record<string, RemoteInfo>, RegExp][] = [
    ['nobody answers', {}, /^cannot fetch cluster info from peer urls: could not retrieve cluster information/],
    [
      'those that answer are of two clusters',
      { 'http://a:1': info(), 'http://b:1': info({ clusterId: 8n }) },
      /^http:\/\/a:1 is of cluster 7, http:\/\/b:1 of 8: --initial-cluster names members of different clusters/,
    ],
    [
      'there are fewer members than it was told',
      { 'http://a:1': info({ members: all.slice(0, 2) }) },
      /^error validating peerURLs \{ClusterID:7 Members:\[&\{ID:1 RaftAttributes:\{PeerURLs:\[http:\/\/a:1\] IsLearner:false\} Attributes:\{Name:a ClientURLs:\[\]\}\} &\{ID:2 .*\] RemovedMemberIDs:\[\]\}: member count is unequal/,
    ],
    [
      'a member is elsewhere',
      { 'http://a:1': info({ members: [peer(1n, 'a'), peer(2n, 'x'), peer(3n, 'c')] }) },
      /: PeerURLs: no match found for existing member \(2, \[http:\/\/x:1\]\)/,
    ],
    [
      'B67: it ran before, with other data',
      { 'http://a:1': info({ members: [...all.slice(0, 2), peer(3n, 'c', { incarnation: 5n })] }) },
      /^member 3 has already been bootstrapped from another data directory/,
    ],
  ];
  test.each(refusals)('is refused when %s', async (_name, answers, words) => {
    await expect(findCluster(config, world(answers).runtime)).rejects.toThrow(words);
  });
});

describe('a member that founds its cluster', () => {
  const own = { clusterId: 7n, memberId: 3n };
  const found = (answers: Record<string, RemoteInfo>): Promise<void> =>
    checkOthersBeforeFounding(config, world(answers).runtime, own);

  test('may do so while others are not there, or have just begun as well', async () => {
    await found({});
    await found({ 'http://a:1': info({ members: [], appliedIndex: 0 }), 'http://b:1': info({ appliedIndex: 3 }) });
  });

  test('may not when its flags mean another cluster, or the cluster knows it or has dismissed it', async () => {
    await expect(found({ 'http://b:1': info({ clusterId: 8n }) })).rejects.toThrow(
      /^cluster ID mismatch: http:\/\/b:1 is of cluster 8, the flags of this member mean cluster 7/,
    );
    const known = info({ members: [peer(3n, 'c', { incarnation: 5n })] });
    await expect(found({ 'http://a:1': known })).rejects.toThrow('already been bootstrapped');
    await expect(found({ 'http://a:1': info({ members: all.slice(0, 2) }) })).rejects.toThrow('permanently removed');
  });
});

test('a member with data is refused when its flags name another cluster, and nobody of its own', async () => {
  const own = { clusterId: 7n, memberId: 3n };
  const restart = (answers: Record<string, RemoteInfo>): Promise<void> =>
    checkOthersBeforeRestart(config, world(answers).runtime, own);
  await restart({});
  await restart({ 'http://a:1': info() });
  await restart({ 'http://a:1': info({ clusterId: 8n }), 'http://b:1': info() });
  await expect(restart({ 'http://a:1': info({ clusterId: 8n }) })).rejects.toThrow(
    /the data directory is of member 3 of cluster 7, http:\/\/a:1 is of cluster 8; give this member its own --data-dir/,
  );
});
