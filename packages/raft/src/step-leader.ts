/**
 * Messages to a leader: proposals, reads, orders to hand over, the answers of members, and reports about them. One handler per
 * message type. Answers of strangers are ignored.
 */
import { formatId, invariant, noMember } from '@quorate/base';
import type { Entry, Message } from '@quorate/proto';
import { type Progress, ProgressState } from './progress.ts';
import type { Raft, StepResult } from './raft.ts';
import { answerConfirmedReads, broadcastHeartbeat, read, readsLost } from './read-index.ts';
import { refuseConfChange } from './reconfigure.ts';
import { advanceCommit, broadcastAppend, maybeSendAppend, sendCommit, sendRemaining } from './replication.ts';
import type { Peer } from './tracker.ts';
import { EntryType, emptyBytes, MessageType, newEntry, newMessage } from './types.ts';

/** Messages to a leader. */
export function stepLeader(raft: Raft, message: Message): StepResult {
  switch (message.type) {
    case MessageType.MSG_BEAT:
      broadcastHeartbeat(raft);
      return 'taken';
    case MessageType.MSG_CHECK_QUORUM:
      checkQuorum(raft);
      return 'taken';
    case MessageType.MSG_PROP:
      return propose(raft, message.entries);
    case MessageType.MSG_READ_INDEX:
      return read(raft, { from: message.from, context: message.context });
    case MessageType.MSG_FORGET_LEADER:
      return 'taken';
  }
  const progress = raft.tracker.progress.get(message.from);
  if (progress === undefined) {
    raft.logger.debug('ignored a message of a stranger', { from: formatId(message.from), type: message.type });
    return message.type === MessageType.MSG_TRANSFER_LEADER ? 'dropped' : 'taken';
  }
  const peer: Peer = { id: message.from, progress };
  switch (message.type) {
    case MessageType.MSG_APP_RESP:
      if (message.reject) appendRejected(raft, peer, message);
      else appendAccepted(raft, peer, message.index);
      return 'taken';
    case MessageType.MSG_HEARTBEAT_RESP:
      heartbeatAnswered(raft, peer, message.context);
      return 'taken';
    case MessageType.MSG_SNAP_STATUS:
      snapshotReported(raft, progress, message);
      return 'taken';
    case MessageType.MSG_UNREACHABLE:
      // What was sent ahead is probably lost: find out where the member stands before sending more.
      if (progress.state === ProgressState.replicate) progress.becomeProbe();
      readsLost(raft, message.from);
      raft.logger.debug('member is unreachable', { id: formatId(message.from) });
      return 'taken';
    case MessageType.MSG_TRANSFER_LEADER:
      return transferLeader(raft, peer);
    default:
      return 'taken';
  }
}

function checkQuorum(raft: Raft): void {
  const { tracker, term } = raft;
  if (!tracker.quorumActive()) {
    raft.logger.warn('stepping down: no quorum was heard from', { term });
    raft.becomeFollower(term, noMember);
  }
  for (const { id, progress } of tracker.peers) if (id !== raft.id) progress.recentActive = false;
}

// ── proposals ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function propose(raft: Raft, entries: Entry[]): StepResult {
  // A leader that was removed must not add to a log it no longer has a say in.
  if (!raft.tracker.progress.has(raft.id)) return 'dropped';
  if (raft.leadTransferee !== noMember) {
    raft.logger.debug('dropped a proposal: leadership is being transferred', { to: formatId(raft.leadTransferee) });
    return 'dropped';
  }
  const before = raft.pendingConfIndex;
  let refused = false;
  for (let i = 0; i < entries.length; i++) {
    if (entries[i]!.type === EntryType.ENTRY_NORMAL) continue;
    const reason = refuseConfChange(raft, entries[i]!);
    if (reason === undefined) {
      raft.pendingConfIndex = raft.log.lastIndex() + i + 1;
      continue;
    }
    raft.logger.info('refused a configuration change', { reason });
    // An empty entry takes its place, so that whoever forwarded it sees the log move on.
    entries[i] = newEntry(EntryType.ENTRY_NORMAL, emptyBytes);
    refused = true;
  }
  if (!raft.appendEntries(entries)) {
    raft.pendingConfIndex = before;
    return 'dropped';
  }
  broadcastAppend(raft);
  return refused ? 'refused' : 'taken';
}

// ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function appendAccepted(raft: Raft, peer: Peer, index: number): void {
  const { id, progress } = peer;
  progress.recentActive = true;
  // An answer that is no news still ends a probe: the logs agree up to there. Not a wait for a snapshot: match is too low then.
  const probeAnswered = progress.state === ProgressState.probe && progress.match === index;
  if (!progress.maybeUpdate(index) && !probeAnswered) return;
  invariant(index <= raft.log.lastIndex(), 'a member acknowledged entries beyond the log', { id, index });
  movePastAnswer(raft, peer, index);
  const committed = advanceCommit(raft);
  if (id === raft.id) return;
  if (!committed && progress.canBumpCommit(raft.log.committed)) sendCommit(raft, peer);
  // The answer made room in the window, perhaps for several messages.
  sendRemaining(raft, peer);
  if (id === raft.leadTransferee && progress.match === raft.log.lastIndex()) sendTimeoutNow(raft);
}

function movePastAnswer(raft: Raft, peer: Peer, index: number): void {
  const { progress } = peer;
  switch (progress.state) {
    case ProgressState.probe:
      progress.becomeReplicate();
      return;
    case ProgressState.snapshot:
      // Whatever became of the snapshot we sent: the log alone can bring the member up to date from here.
      if (progress.match + 1 < raft.log.firstIndex()) return;
      progress.becomeProbe();
      progress.becomeReplicate();
      raft.logger.debug('member no longer needs a snapshot', { id: formatId(peer.id), match: progress.match });
      return;
    case ProgressState.replicate:
      progress.inflights.freeTo(index);
  }
}

function appendRejected(raft: Raft, peer: Peer, message: Message): void {
  const { id, progress } = peer;
  progress.recentActive = true;
  const { index, rejectHint, logTerm } = message;
  raft.logger.debug('append was rejected', { from: formatId(id), index, hint: rejectHint });
  // The member names the last entry that may agree and its term: skip our entries of higher terms (thesis 3.5).
  const hint = logTerm > 0 ? raft.log.findConflictByTerm(rejectHint, logTerm).index : rejectHint;
  if (!progress.maybeDecreaseTo(index, hint)) return;
  if (progress.state === ProgressState.replicate) progress.becomeProbe();
  maybeSendAppend(raft, peer, true);
}

function heartbeatAnswered(raft: Raft, peer: Peer, context: Buffer): void {
  const { id, progress } = peer;
  progress.recentActive = true;
  progress.flowPaused = false;
  // A member that lags gets the next append; one that is probed gets one even if it lacks nothing, to get it out of there. If
  // all that is in flight was lost, this is what finds out.
  if (progress.match < raft.log.lastIndex() || progress.state === ProgressState.probe) {
    maybeSendAppend(raft, peer, true);
  }
  if (raft.config.readOnlyOption !== 'safe' || context.length === 0) return;
  raft.readOnly.acknowledge(id, context);
  answerConfirmedReads(raft);
}

// ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function snapshotReported(raft: Raft, progress: Progress, message: Message): void {
  if (progress.state !== ProgressState.snapshot) return;
  // A failed snapshot never arrived: probe from what is known to have.
  if (message.reject) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  // Sent: wait for the member to say so. Failed: leave it a heartbeat interval before the next try.
  progress.flowPaused = true;
  raft.logger.debug('snapshot was reported', { id: formatId(message.from), failed: message.reject });
}

// ── leadership transfer ──────────────────────────────────────────────────────────────────────────────────────────────────────

function transferLeader(raft: Raft, peer: Peer): StepResult {
  const { id, progress } = peer;
  if (progress.learner || id === raft.id) return 'dropped';
  if (raft.leadTransferee === id) return 'taken';
  raft.logger.info('transferring leadership', { to: formatId(id), term: raft.term });
  raft.leadTransferee = id;
  raft.transferElapsed = 0;
  if (progress.match === raft.log.lastIndex()) sendTimeoutNow(raft);
  else maybeSendAppend(raft, peer, true);
  return 'taken';
}

/** The member has everything: it may campaign at once (thesis 3.10). */
function sendTimeoutNow(raft: Raft): void {
  raft.send(newMessage(MessageType.MSG_TIMEOUT_NOW, raft.leadTransferee));
}
