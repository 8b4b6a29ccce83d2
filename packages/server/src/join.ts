/**
 * What a member without data asks the others before it writes anything: whether the cluster it is to found is there already
 * without it, or which cluster it is to join and under which id. A member that was started wrongly is told so, and nothing is
 * changed anywhere. The texts are etcd's where etcd has them (server/etcdserver/bootstrap.go, cluster_util.go).
 */
import { type ClusterId, formatId } from '@quorate/base';

import type { PeerMember } from '@quorate/proto';
import type { InitialMember, MemberConfig } from './config.ts';
import type { PeerIdentity, RemoteInfo } from './peer-transport.ts';
import type { Runtime } from './runtime.ts';
import { expulsion, Refusal } from './standing.ts';
import { StartError } from './start-error.ts';

type Identity = Pick<PeerIdentity, 'clusterId' | 'memberId'>;

/** How long the others have to answer, in milliseconds: an operator should not wait for a mistake to be named. */
const answerLimitMs = 1_000;

/**
 * Which cluster this member is to join, and as whom: what the running members say, held against `--initial-cluster`. Rejects with
 * StartError when nobody answers, when the two do not fit, and when the member ran before with other data.
 */
export async function findCluster(config: MemberConfig, runtime: Runtime): Promise<Identity> {
  const own = mustHaveOwn(config);
  const answers = await askOthers(config, runtime);
  const newest = answers.reduce<Answer | undefined>(
    (best, answer) => (best === undefined || answer.info.appliedIndex > best.info.appliedIndex ? answer : best),
    undefined,
  );
  if (newest === undefined) {
    throw new StartError(
      'cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs; start a member ' +
        'of the cluster first, or check the URLs of --initial-cluster',
    );
  }
  const stranger = answers.find(({ info }) => info.clusterId !== newest.info.clusterId);
  if (stranger !== undefined) {
    throw new StartError(
      `${newest.url} is of cluster ${formatId(newest.info.clusterId)}, ${stranger.url} of ` +
        `${formatId(stranger.info.clusterId)}: --initial-cluster names members of different clusters`,
    );
  }
  const { clusterId, members } = newest.info;
  validate(config.initialCluster, newest.info);
  const record = members.find((member) => sameUrls(member.peerUrls, own.peerUrls))!;
  if (record.incarnation !== 0n) throw expulsion(record.id, Refusal.otherIncarnation);
  return { clusterId, memberId: record.id };
}

/**
 * Whether this member may found its cluster with the others: not when they run already and knew it with other data, or without it,
 * and not when they are of another cluster. Those that do not answer may be about to be started, too. Rejects with StartError.
 */
export async function checkOthersBeforeFounding(config: MemberConfig, runtime: Runtime, own: Identity): Promise<void> {
  for (const { url, info } of await askOthers(config, runtime)) {
    if (info.clusterId !== own.clusterId) throw otherCluster(url, info.clusterId, own.clusterId);
    const record = info.members.find((member) => member.id === own.memberId);
    if (record !== undefined && record.incarnation !== 0n) throw expulsion(own.memberId, Refusal.otherIncarnation);
    const isFounded = info.appliedIndex > config.initialCluster.length;
    if (record === undefined && isFounded) throw expulsion(own.memberId, Refusal.removed);
  }
}

/**
 * Whether a member with data may go on with these flags: not when they name members of another cluster, and nobody of its own, as
 * when the flags of one member are given with the directory of another. Flags may be older than the cluster, so only answers count.
 * Rejects with StartError.
 */
export async function checkOthersBeforeRestart(config: MemberConfig, runtime: Runtime, own: Identity): Promise<void> {
  const answers = await askOthers(config, runtime);
  const stranger = answers.find(({ info }) => info.clusterId !== own.clusterId);
  if (stranger === undefined || answers.some(({ info }) => info.clusterId === own.clusterId)) return;
  throw new StartError(
    `cluster ID mismatch: the data directory is of member ${formatId(own.memberId)} of cluster ${formatId(own.clusterId)}, ` +
      `${stranger.url} is of cluster ${formatId(stranger.info.clusterId)}; give this member its own --data-dir, or the ` +
      '--initial-cluster of its cluster',
  );
}

/** The entry of this member in `--initial-cluster`. Throws StartError. */
export function mustHaveOwn(config: MemberConfig): InitialMember {
  const own = config.initialCluster.find((member) => member.name === config.name);
  if (own === undefined) {
    throw new StartError(`couldn't find local name "${config.name}" in the initial cluster configuration`);
  }
  return own;
}

interface Answer {
  readonly url: string;
  readonly info: RemoteInfo;
}

async function askOthers(config: MemberConfig, runtime: Runtime): Promise<Answer[]> {
  const urls = config.initialCluster
    .filter((member) => member.name !== config.name)
    .flatMap((member) => member.peerUrls);
  const ask = (url: string): Promise<Answer | undefined> =>
    runtime.peers.fetchInfo(url, answerLimitMs).then(
      (info) => ({ url, info }),
      (error: unknown) => {
        runtime.logger.debug('a member does not say what it knows of the cluster', { url, reason: String(error) });
        return undefined;
      },
    );
  const answers = await Promise.all(urls.map(ask));
  return answers.filter((answer) => answer !== undefined);
}

function otherCluster(url: string, theirs: ClusterId, ours: ClusterId): StartError {
  return new StartError(
    `cluster ID mismatch: ${url} is of cluster ${formatId(theirs)}, the flags of this member mean cluster ${formatId(ours)}. ` +
      '--initial-cluster and --initial-cluster-token must be the same on all founding members; a member that joins a running ' +
      'cluster is added with "kvctl member add" and started with --initial-cluster-state=existing',
  );
}

/** Every running member must be in the flags, by its peer URLs, and nobody else. Throws StartError. */
function validate(given: readonly InitialMember[], { clusterId, members }: RemoteInfo): void {
  const fail = (reason: string): never => {
    throw new StartError(
      `error validating peerURLs ${describe(clusterId, members)}: ${reason}; --initial-cluster must name the members as ` +
        '"kvctl member list" shows them, this one included, after "kvctl member add"',
    );
  };
  if (members.length !== given.length) fail('member count is unequal');
  for (const member of members) {
    if (given.some((one) => sameUrls(one.peerUrls, member.peerUrls))) continue;
    fail(`PeerURLs: no match found for existing member (${formatId(member.id)}, [${member.peerUrls.join(' ')}])`);
  }
}

function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  return [...a].sort().join() === [...b].sort().join();
}

/** As Go prints etcd's list of members. */
function describe(clusterId: ClusterId, members: readonly PeerMember[]): string {
  const list = members.map(
    ({ id, name, peerUrls, clientUrls, isLearner }) =>
      `&{ID:${formatId(id)} RaftAttributes:{PeerURLs:[${peerUrls.join(' ')}] IsLearner:${isLearner}} ` +
      `Attributes:{Name:${name} ClientURLs:[${clientUrls.join(' ')}]}}`,
  );
  return `{ClusterID:${formatId(clusterId)} Members:[${list.join(' ')}] RemovedMemberIDs:[]}`;
}
