/**
 * When the members of a cluster may be changed (`--strict-reconfig-check`), as etcd decides it: a change must not leave a cluster
 * that cannot go on. What is judged here depends on what this member sees now, so it is asked before a change is proposed;
 * what depends on the replicated state alone is judged again, by every member, when the change is applied.
 */
import type { MemberId } from '@quorate/base';
import { KvError, type Member } from '@quorate/proto';

/** What a member sees of its cluster. */
export interface ClusterView {
  readonly self: MemberId;
  readonly members: readonly Member[];
  /** Milliseconds since when `id` is connected without a break; undefined while it is not. */
  readonly connectedForMs: (id: MemberId) => number | undefined;
}

/** How long a member must be connected to count as healthy (etcd: HealthInterval). */
export const healthIntervalMs = 5_000;
/** How much of the leader's log a learner must have before it may vote (etcd: readyPercentThreshold). */
const readyShare = 0.9;

/** Throws KvError notEnoughStarted or unhealthy when a voter more could leave the cluster without a quorum. */
export function checkAddVoter(view: ClusterView): void {
  const voters = votersOf(view);
  const size = voters.length + 1;
  const started = startedCount(voters);
  // One member alone may always get a second one: that is how a cluster is built up again.
  if (started !== 1 || size !== 2) checkStarted(started, size);
  if (healthyCount(view, voters) < quorumOf(voters.length)) throw new KvError('unhealthy');
}

/** Throws KvError notEnoughStarted. The learner counts as started: it has the log. */
export function checkPromote(view: ClusterView): void {
  const voters = votersOf(view);
  checkStarted(startedCount(voters) + 1, voters.length + 1);
}

/** Throws KvError notEnoughStarted or unhealthy when the cluster could stop without this member. */
export function checkRemove(view: ClusterView, id: MemberId): void {
  if (view.members.find((member) => member.id === id)?.isLearner === true) return;
  const voters = votersOf(view);
  const left = voters.filter((member) => member.id !== id);
  checkStarted(startedCount(left), left.length);
  // One that is down has no part in the quorum there is.
  if (id !== view.self && view.connectedForMs(id) === undefined) return;
  if (healthyCount(view, voters) - 1 < quorumOf(voters.length - 1)) throw new KvError('unhealthy');
}

/** Throws KvError learnerNotReady while the learner lacks more than a tenth of the leader's log. */
export function checkLearnerReady(match: { readonly learner: number; readonly leader: number }): void {
  if (match.learner < match.leader * readyShare) throw new KvError('learnerNotReady');
}

function votersOf({ members }: ClusterView): Member[] {
  return members.filter((member) => !member.isLearner);
}

/** A member that ran once has said its name. */
function startedCount(members: readonly Member[]): number {
  return members.filter((member) => member.name !== '').length;
}

function checkStarted(started: number, size: number): void {
  if (started < quorumOf(size)) throw new KvError('notEnoughStarted');
}

function healthyCount({ self, connectedForMs }: ClusterView, voters: readonly Member[]): number {
  return voters.filter(({ id }) => id === self || (connectedForMs(id) ?? 0) >= healthIntervalMs).length;
}

function quorumOf(size: number): number {
  return Math.floor(size / 2) + 1;
}
