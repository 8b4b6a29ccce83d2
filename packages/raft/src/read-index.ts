/**
 * Linearizable reads on a leader, and the heartbeats that confirm them: a read is taken at the commit index, once that is known
 * to be right in this term, and answered when a majority has shown that it still follows (Raft thesis 6.4).
 */
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
  startRound(raft, request);
  return 'taken';
}

function startRound(raft: Raft, request: ReadRequest): void {
  const { committed } = raft.log;
  if (raft.tracker.isSingleton && raft.tracker.isVoter(raft.id)) {
    answerRead(raft, request, committed);
  } else if (raft.config.readOnlyOption === 'lease-based') {
    answerRead(raft, request, committed);
  } else {
    broadcastHeartbeat(raft, raft.readOnly.add(committed, request));
  }
}

/** The first entry of this term is committed: the reads that waited for it begin. */
export function releaseEarlyReads(raft: Raft): void {
  if (raft.earlyReads.length === 0 || !raft.committedInTerm) return;
  const requests = raft.earlyReads;
  raft.earlyReads = [];
  for (const request of requests) startRound(raft, request);
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

/** Sends heartbeats to everyone, with `context` or that of the newest read that waits. */
export function broadcastHeartbeat(raft: Raft, context?: Buffer): void {
  const carried = context ?? raft.readOnly.lastPendingContext() ?? emptyBytes;
  for (const { id, progress } of raft.tracker.peers) {
    if (id === raft.id) continue;
    // Not beyond what the member is known to hold: it could not commit what it does not have.
    const commit = Math.min(progress.match, raft.log.committed);
    const message = newMessage(MessageType.MSG_HEARTBEAT, id);
    message.commit = commit;
    message.context = carried;
    raft.send(message);
    progress.sentCommit(commit);
  }
}
