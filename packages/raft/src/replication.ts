/**
 * How a leader sends its log: appends to members whose logs are known or being probed, a snapshot to those that need what was
 * compacted away, and the commit index to all (Raft thesis 3.5, 5.1, 10.2.1).
 */
import { formatId, invariant, type MemberId } from '@quorate/base';
import { type Progress, ProgressState } from './progress.ts';
import type { Raft } from './raft.ts';
import { releaseEarlyReads } from './read-index.ts';
import type { Peer } from './tracker.ts';
import { MessageType, newMessage, payloadSizeBytes, quietContext } from './types.ts';

/**
 * Sends the next append if the member may be sent one. `evenEmpty`: also when there is no entry to send, to carry the commit index
 * or to find out where the member stands; `quiet`: such a one wants no answer if it fits. Returns whether something was sent, a snapshot included.
 */
export function maybeSendAppend(raft: Raft, peer: Peer, evenEmpty: boolean, quiet = false): boolean {
  const { id, progress } = peer;
  if (progress.paused) return false;
  const { log } = raft;
  const previous = progress.next - 1;
  const previousTerm = log.term(previous);
  if (previousTerm === undefined) return maybeSendSnapshot(raft, id, progress);
  // With a full window only empty appends go: if everything in flight was lost, the answer to one of them gets things going.
  const blocked = progress.state === ProgressState.replicate && progress.inflights.full;
  const entries = blocked ? [] : log.entries(progress.next, raft.config.maxSizePerMsg);
  if (entries.length === 0 && !evenEmpty) return false;
  const message = newMessage(MessageType.MSG_APP, id);
  message.index = previous;
  message.logTerm = previousTerm;
  message.entries = entries;
  message.commit = log.committed;
  if (quiet && entries.length === 0 && progress.state === ProgressState.replicate) message.context = quietContext;
  raft.send(message);
  progress.sentEntries(entries.length, payloadSizeBytes(entries));
  progress.sentCommit(log.committed);
  return true;
}

/** Sends as many further appends as the window allows. */
export function sendRemaining(raft: Raft, peer: Peer): void {
  while (maybeSendAppend(raft, peer, false)) {
    // Each append takes the next entries.
  }
}

/** Sends everyone what is new, or the commit index alone. */
export function broadcastAppend(raft: Raft): void {
  for (const peer of raft.tracker.peers) {
    // A batch of proposals can be larger than one message.
    if (peer.id !== raft.id && maybeSendAppend(raft, peer, true)) sendRemaining(raft, peer);
  }
}

/** Sends `peer` the commit index with whatever entries are new, or alone: then not while the next one is near, and without an answer. */
export function sendCommit(raft: Raft, peer: Peer): void {
  const { log, config } = raft;
  const isNear = config.quietCommits && log.lastIndex() > log.committed;
  if (maybeSendAppend(raft, peer, !isNear, config.quietCommits)) sendRemaining(raft, peer);
}

function maybeSendSnapshot(raft: Raft, id: MemberId, progress: Progress): boolean {
  const { logger } = raft;
  if (!progress.recentActive) {
    logger.debug('no snapshot to a member that is not active', { to: formatId(id) });
    return false;
  }
  const snapshot = raft.log.snapshot();
  if (snapshot === undefined) {
    logger.debug('no snapshot to be had just now', { to: formatId(id) });
    return false;
  }
  const index = snapshot.metadata?.index ?? 0;
  invariant(index > 0, 'a snapshot is needed and storage has none', { to: id, first: raft.log.firstIndex() });
  progress.becomeSnapshot(index);
  const message = newMessage(MessageType.MSG_SNAP, id);
  message.snapshot = snapshot;
  raft.send(message);
  logger.debug('sent a snapshot, appends wait for it', { to: formatId(id), index });
  return true;
}

/** Commits what a quorum holds; then everyone is told, and reads that waited for the first commit of the term begin. */
export function advanceCommit(raft: Raft): boolean {
  if (!raft.log.maybeCommit(raft.tracker.committed(), raft.term)) return false;
  raft.readOnly.relyOn(holders(raft, raft.log.committed));
  releaseEarlyReads(raft);
  for (const peer of raft.tracker.peers) if (peer.id !== raft.id) sendCommit(raft, peer);
  return true;
}

/** The other voters that are known to hold the entry at `index`. */
function holders({ id: self, tracker }: Raft, index: number): MemberId[] {
  const ids: MemberId[] = [];
  for (const { id, progress } of tracker.peers) {
    if (id !== self && !progress.learner && progress.match >= index) ids.push(id);
  }
  return ids;
}
