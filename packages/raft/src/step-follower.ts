/**
 * Messages to a follower, and to a candidate or pre-candidate, which becomes a follower as soon as a leader of its term speaks:
 * appends, heartbeats, snapshots, and what a follower passes on to the leader.
 */
import { formatId, invariant, type MemberId, noMember } from '@quorate/base';
import type { ConfState, Message, Snapshot } from '@quorate/proto';
import { restoreMembership } from './confchange.ts';
import { Campaign, countVote, hup } from './election.ts';
import type { Raft, StepResult } from './raft.ts';
import { switchMembership } from './reconfigure.ts';
import { MessageType, newMessage, quietContext, Role } from './types.ts';

/** Messages to a follower. */
export function stepFollower(raft: Raft, message: Message): StepResult {
  switch (message.type) {
    case MessageType.MSG_APP:
      followLeader(raft, message.from);
      handleAppend(raft, message);
      return 'taken';
    case MessageType.MSG_HEARTBEAT:
      followLeader(raft, message.from);
      handleHeartbeat(raft, message);
      return 'taken';
    case MessageType.MSG_SNAP:
      followLeader(raft, message.from);
      handleSnapshot(raft, message);
      return 'taken';
    case MessageType.MSG_PROP:
      if (raft.config.disableProposalForwarding) return 'dropped';
      return forwardToLeader(raft, message);
    case MessageType.MSG_READ_INDEX:
    case MessageType.MSG_TRANSFER_LEADER:
      return forwardToLeader(raft, message);
    case MessageType.MSG_READ_INDEX_RESP:
      raft.readStates.push({ index: message.index, requestContext: message.context });
      return 'taken';
    case MessageType.MSG_TIMEOUT_NOW:
      raft.logger.info('campaigning at the order of the leader', { from: formatId(message.from), term: raft.term });
      // No pre-vote: the leader chose us, we are not back from a partition.
      hup(raft, Campaign.transfer);
      return 'taken';
    case MessageType.MSG_FORGET_LEADER:
      forgetLeader(raft);
      return 'taken';
    default:
      return 'taken';
  }
}

/** Messages to a candidate or pre-candidate. */
export function stepCandidate(raft: Raft, message: Message): StepResult {
  switch (message.type) {
    case MessageType.MSG_PROP:
      raft.logger.debug('dropped a proposal: no leader', { term: raft.term });
      return 'dropped';
    case MessageType.MSG_READ_INDEX:
    case MessageType.MSG_TRANSFER_LEADER:
      return 'dropped';
    case MessageType.MSG_APP:
      raft.becomeFollower(message.term, message.from);
      handleAppend(raft, message);
      return 'taken';
    case MessageType.MSG_HEARTBEAT:
      raft.becomeFollower(message.term, message.from);
      handleHeartbeat(raft, message);
      return 'taken';
    case MessageType.MSG_SNAP:
      raft.becomeFollower(message.term, message.from);
      handleSnapshot(raft, message);
      return 'taken';
    case MessageType.MSG_PRE_VOTE_RESP:
      // A grant is for one term: a late one, for a term that has come meanwhile, does not count.
      if (raft.role === Role.preCandidate && (message.reject || message.term === raft.term + 1))
        countVote(raft, message);
      return 'taken';
    case MessageType.MSG_VOTE_RESP:
      if (raft.role === Role.candidate) countVote(raft, message);
      return 'taken';
    default:
      return 'taken';
  }
}

function followLeader(raft: Raft, leader: MemberId): void {
  invariant(raft.leader === noMember || raft.leader === leader, 'two leaders in one term', { term: raft.term, leader });
  raft.electionElapsed = 0;
  raft.leader = leader;
}

function forwardToLeader(raft: Raft, message: Message): StepResult {
  if (raft.leader === noMember) {
    raft.logger.debug('no leader to forward to', { type: message.type, term: raft.term });
    return 'dropped';
  }
  message.to = raft.leader;
  // A transfer is the leader's to order in its own term, whatever term it was asked for in.
  message.term = 0;
  raft.send(message);
  return 'taken';
}

/** Stops to count the leader as fresh, so that others may be elected with our vote before an election timeout has passed. */
function forgetLeader(raft: Raft): void {
  if (raft.config.readOnlyOption === 'lease-based') {
    raft.logger.error('cannot forget the leader: its lease-based reads rely on us');
    return;
  }
  if (raft.leader === noMember) return;
  raft.logger.info('forgetting the leader', { leader: formatId(raft.leader), term: raft.term });
  raft.leader = noMember;
}

/** Takes a leader's entries into the log, or tells it from where the logs may agree. */
export function handleAppend(raft: Raft, message: Message): void {
  const { index, logTerm, from } = message;
  const { log } = raft;
  const response = newMessage(MessageType.MSG_APP_RESP, from);
  if (index < log.committed) {
    // Everything committed agrees with every leader.
    response.index = log.committed;
    raft.send(response);
    return;
  }
  const agreed = log.maybeAppend({ index, term: logTerm }, message.entries, message.commit);
  if (agreed !== undefined) {
    // The leader asked to be spared: where a commit index alone agrees is no news.
    if (message.entries.length === 0 && message.context.equals(quietContext)) return;
    response.index = agreed;
    raft.send(response);
    return;
  }
  // Entries of a higher term than the leader's at this point cannot agree: offer the last one that might, and its term, so
  // that the leader skips its own entries of other terms. Each round trip passes a term, not an entry (thesis 3.5).
  const hint = log.findConflictByTerm(Math.min(index, log.lastIndex()), logTerm);
  response.index = index;
  response.reject = true;
  response.rejectHint = hint.index;
  response.logTerm = hint.term;
  raft.send(response);
  raft.logger.debug('rejected an append', { from: formatId(from), index, logTerm, hint: hint.index });
}

export function handleHeartbeat(raft: Raft, message: Message): void {
  raft.log.commitTo(message.commit);
  const response = newMessage(MessageType.MSG_HEARTBEAT_RESP, message.from);
  response.context = message.context;
  raft.send(response);
}

/** Starts over from a leader's snapshot, unless the log has all of it already. */
export function handleSnapshot(raft: Raft, message: Message): void {
  const { snapshot } = message;
  const response = newMessage(MessageType.MSG_APP_RESP, message.from);
  const restored = snapshot !== undefined && restore(raft, snapshot);
  response.index = restored ? raft.log.lastIndex() : raft.log.committed;
  raft.send(response);
  raft.logger.info(restored ? 'restored a snapshot' : 'ignored a snapshot', { committed: raft.log.committed });
}

function restore(raft: Raft, snapshot: Snapshot): boolean {
  const { metadata } = snapshot;
  const { log, tracker } = raft;
  invariant(raft.role === Role.follower, 'only a follower restores a snapshot');
  if (metadata?.confState === undefined || metadata.index <= log.committed) return false;
  if (!knows(metadata.confState, raft.id)) {
    raft.logger.warn('snapshot does not know this member', { index: metadata.index });
    return false;
  }
  // The log has the entry the snapshot ends with: then it has all before it, and need not be thrown away.
  if (log.matchesTerm(metadata.index, metadata.term)) {
    raft.logger.info('moved the commit index up to a snapshot', { index: metadata.index });
    log.commitTo(metadata.index);
    return false;
  }
  log.restore(snapshot);
  const { inflightLimits } = tracker;
  const restored = restoreMembership(metadata.confState, { lastIndex: log.lastIndex(), inflightLimits });
  invariant(restored.ok, 'the configuration of a snapshot cannot be restored');
  switchMembership(raft, restored.membership, restored.progress);
  return true;
}

function knows(state: ConfState, id: MemberId): boolean {
  return state.voters.includes(id) || state.votersOutgoing.includes(id) || state.learners.includes(id);
}
