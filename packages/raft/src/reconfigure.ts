/**
 * Configuration changes of a running member: what a leader lets into the log, what applying one does, and how a joint configuration
 * ends by itself. A configuration counts from when its entry is applied, not from when it is appended; so that all members agree
 * on quorums, at most one change is in the log and not applied (Raft thesis 4.1).
 */
import { formatId, invariant, noMember } from '@quorate/base';
import type { ConfChangeV2, ConfState, Entry } from '@quorate/proto';
import { applyChange, asV2, type ChangeBase, leaveJointChange, leavesJoint } from './confchange.ts';
import type { Raft } from './raft.ts';
import { answerConfirmedReads } from './read-index.ts';
import { advanceCommit, maybeSendAppend } from './replication.ts';
import type { Membership, ProgressMap } from './tracker.ts';
import { EntryType, emptyBytes, MessageType, newEntry, newMessage, Role } from './types.ts';

/** Why the change in `entry` may not be appended; undefined when it may. */
export function refuseConfChange(raft: Raft, entry: Entry): string | undefined {
  if (raft.config.disableConfChangeValidation) return undefined;
  const { tracker, log } = raft;
  if (raft.pendingConfIndex > log.applied) return 'an earlier configuration change may not be applied yet';
  // Two leaders of different terms could each append a change to the same old configuration and both reach a quorum of their
  // new one, unless a leader first commits in its term (Ongaro, raft-dev 2015). A single voter has no rival.
  if (!raft.committedInTerm && !tracker.isSingleton) return 'nothing is committed in this term yet';
  const change = decodeChange(raft, entry);
  if (change === undefined) return 'malformed configuration change';
  if (tracker.isJoint && !leavesJoint(change)) return 'must transition out of joint config first';
  if (!tracker.isJoint && change.changes.length === 0) return 'not in joint state; refusing empty conf change';
  const result = applyChange(changeBase(raft), change);
  return result.ok ? undefined : result.reason;
}

/** A proposal may come from any member: bytes that cannot be read are refused before they can get into the log. */
function decodeChange(raft: Raft, entry: Entry): ConfChangeV2 | undefined {
  const { v1, v2 } = raft.config.confChangeCodec;
  // An empty payload is the empty change, whatever the codec.
  if (entry.type === EntryType.ENTRY_CONF_CHANGE_V2 && entry.data.length === 0) return leaveJointChange();
  try {
    return entry.type === EntryType.ENTRY_CONF_CHANGE ? asV2(v1.decode(entry.data)) : v2.decode(entry.data);
  } catch (error) {
    raft.logger.warn('cannot decode a proposed configuration change', { error: String(error) });
    return undefined;
  }
}

function changeBase(raft: Raft): ChangeBase {
  const { membership, progress, inflightLimits } = raft.tracker;
  return { membership, progress, lastIndex: raft.log.lastIndex(), inflightLimits };
}

/** Makes a committed change take effect. A change that cannot is a broken invariant: all members would stumble over it. */
export function applyConfChange(raft: Raft, change: ConfChangeV2): ConfState {
  const result = applyChange(changeBase(raft), change);
  invariant(result.ok, 'a committed configuration change cannot be applied', {
    reason: result.ok ? '' : result.reason,
  });
  switchMembership(raft, result.membership, result.progress);
  if (raft.role === Role.leader) actOnMembership(raft);
  return raft.tracker.confState();
}

/** Replaces configuration and progress, and notes what this member is in it. */
export function switchMembership(raft: Raft, membership: Membership, progress: ProgressMap): void {
  raft.tracker.switchTo(membership, progress);
  raft.readOnly.askEveryone();
  raft.learner = progress.get(raft.id)?.learner ?? false;
  const { voters, learners } = membership;
  raft.logger.info('switched configuration', {
    voters: voters.incoming.map(formatId).join(' '),
    outgoing: voters.outgoing.map(formatId).join(' '),
    learners: learners.map(formatId).join(' '),
  });
}

/** What a leader has to do about a configuration that just took effect. */
function actOnMembership(raft: Raft): void {
  const { tracker } = raft;
  const own = tracker.progress.get(raft.id);
  if (own === undefined || own.learner) {
    // Removed or demoted. It may go on to lead until another is elected, without counting itself; better it goes at once.
    if (raft.config.stepDownOnRemoval) raft.becomeFollower(raft.term, noMember);
    return;
  }
  // Fewer voters may need to agree now, on entries and on reads.
  if (!advanceCommit(raft)) {
    // New members should not have to wait for the next proposal or heartbeat.
    for (const peer of tracker.peers) if (peer.id !== raft.id) maybeSendAppend(raft, peer, false);
  }
  answerConfirmedReads(raft);
  if (raft.leadTransferee !== noMember && !tracker.isVoter(raft.leadTransferee)) raft.abortLeaderTransfer();
}

/**
 * A leader leaves a joint configuration that asks for it, once everything up to the change that entered it is applied. Called
 * whenever entries were applied, and when a transfer that kept proposals out ended; a second proposal of the kind would be refused.
 */
export function leaveJointWhenApplied(raft: Raft): void {
  if (raft.role !== Role.leader || !raft.tracker.membership.autoLeave) return;
  // Not before the first commit of the term: it would be refused.
  if (raft.log.applied < raft.pendingConfIndex || !raft.committedInTerm) return;
  const proposal = newMessage(MessageType.MSG_PROP, raft.id);
  proposal.from = raft.id;
  proposal.entries = [newEntry(EntryType.ENTRY_CONF_CHANGE_V2, emptyBytes)];
  const result = raft.step(proposal);
  raft.logger.info('leaving the joint configuration', { result });
}
