/**
 * Linearizable reads on a leader, and the heartbeats that confirm them: a read is taken at the commit index, once that is known
 * to be right in this term, and answered when a majority has shown that it still follows (Raft thesis 6.4).
 */
import type { MemberId } from '@quorate/base';
import type { Raft, StepResult } from './raft.ts';
import { pendingReadsMax, type ReadRequest } from './read-only.ts';
import { emptyBytes, MessageType, newMessage } from './types.ts';

/** Takes a read of this member or of one that forwarded it. */
export function read(raft: Raft, request: ReadRequest): StepResult {
  if (raft.earlyReads.length + raft.readOnly.pending >= pendingReadsMax) return 'dropped';
  if (!raft.committedInTerm) {
    // The commit index may lie behind what a former leader acknowledged until an entry of this term is committed. That holds for
    // a single voter too: its stored commit index may lag what it acknowledged before it restarted.
    raft.earlyReads.push(request);
    return 'taken';
  }
  startReads(raft, [request]);
  return 'taken';
}

/** Starts reads at the present commit index: one round of heartbeats confirms them all, unless there is nobody to ask. */
function startReads(raft: Raft, requests: readonly ReadRequest[]): void {
  const { log, tracker, readOnly } = raft;
  const alone = tracker.isSingleton && tracker.isVoter(raft.id);
  if (alone || raft.config.readOnlyOption === 'lease-based') {
    for (const request of requests) answerRead(raft, request, log.committed);
    return;
  }
  for (const request of requests) readOnly.add(log.committed, request);
  broadcastHeartbeat(raft, readOnly.whomToAsk());
}

/** `id` cannot be reached: reads that wait for its answer ask the others. */
export function readsLost(raft: Raft, id: MemberId): void {
  if (raft.readOnly.giveUp(id) && raft.readOnly.pending > 0) broadcastHeartbeat(raft);
}

/** The first entry of this term is committed: the reads that waited for it begin. */
export function releaseEarlyReads(raft: Raft): void {
  if (raft.earlyReads.length === 0 || !raft.committedInTerm) return;
  const requests = raft.earlyReads;
  raft.earlyReads = [];
  startReads(raft, requests);
}

/** Answers the reads that a quorum has confirmed. */
export function answerConfirmedReads(raft: Raft): void {
  const { voters } = raft.tracker.membership;
  for (const round of raft.readOnly.takeConfirmed(voters)) answerRead(raft, round.request, round.index);
}

function answerRead(raft: Raft, request: ReadRequest, index: number): void {
  if (request.from === raft.id) {
    raft.readStates.push({ index, requestContext: request.context });
    return;
  }
  const response = newMessage(MessageType.MSG_READ_INDEX_RESP, request.from);
  response.index = index;
  response.context = request.context;
  raft.send(response);
}

/**
 * Sends heartbeats to everyone, or to those in `only`. They carry the newest read that waits, so that the answers confirm it and all
 * before it.
 */
export function broadcastHeartbeat(raft: Raft, only?: readonly MemberId[]): void {
  const context = raft.readOnly.lastPendingContext() ?? emptyBytes;
  for (const { id, progress } of raft.tracker.peers) {
    if (id === raft.id || only?.includes(id) === false) continue;
    // Not beyond what the member is known to hold: it could not commit what it does not have.
    const commit = Math.min(progress.match, raft.log.committed);
    const message = newMessage(MessageType.MSG_HEARTBEAT, id);
    message.commit = commit;
    message.context = context;
    raft.send(message);
    progress.sentCommit(commit);
  }
}
