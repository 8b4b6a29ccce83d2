/** What others may know about a node: for status answers, metrics and membership decisions. Views, never the state itself. */
import type { MemberId } from '@quorate/base';
import type { ConfState, HardState } from '@quorate/proto';
import type { ProgressView } from './progress.ts';
import type { Raft } from './raft.ts';
import { Role } from './types.ts';

export interface RaftStatus {
  readonly id: MemberId;
  readonly term: number;
  readonly vote: MemberId;
  readonly role: Role;
  readonly leader: MemberId;
  readonly hardState: HardState;
  readonly committed: number;
  readonly applied: number;
  readonly lastIndex: number;
  readonly confState: ConfState;
  /** Where leadership is being moved to; 0n when it is not. */
  readonly leadTransferee: MemberId;
  /** Bytes of data proposed and not applied, on a leader. */
  readonly uncommittedBytes: number;
  /** Reads that wait to be confirmed, on a leader. */
  readonly pendingReads: number;
  /** What a leader knows about each member, itself included; empty on others. Ascending ids. */
  readonly progress: ReadonlyMap<MemberId, ProgressView>;
}

export function statusOf(raft: Raft): RaftStatus {
  const progress = new Map<MemberId, ProgressView>();
  if (raft.role === Role.leader) for (const peer of raft.tracker.peers) progress.set(peer.id, peer.progress.view());
  return {
    id: raft.id,
    term: raft.term,
    vote: raft.vote,
    role: raft.role,
    leader: raft.leader,
    hardState: raft.hardState,
    committed: raft.log.committed,
    applied: raft.log.applied,
    lastIndex: raft.log.lastIndex(),
    confState: raft.tracker.confState(),
    leadTransferee: raft.leadTransferee,
    uncommittedBytes: raft.uncommittedBytes,
    pendingReads: raft.readOnly.pending + raft.earlyReads.length,
    progress,
  };
}
