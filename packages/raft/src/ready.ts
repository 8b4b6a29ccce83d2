/**
 * A ready: one batch of what the core wants done. Its order matters. The owner makes snapshot, entries and hard state durable, in
 * that order, with one sync; sends what must wait for that; applies what is committed. A leader's messages may leave before, so
 * that all disks work in parallel.
 *
 * With asynchronous storage writes the same work is handed out as messages to two local threads. Each carries the answers to
 * deliver once it is done: work of one thread is done in order, and readies follow each other without waiting.
 */
import { noMember } from '@quorate/base';
import type { Entry, HardState, Message, Snapshot } from '@quorate/proto';
import type { Raft } from './raft.ts';
import {
  localAppendThread,
  localApplyThread,
  MessageType,
  newMessage,
  type ReadState,
  type SoftState,
} from './types.ts';

/** What the core wants done. Arrays are the owner's; entries and their data are shared and never changed. */
export interface Ready {
  /** Present when leader or role changed. */
  readonly softState: SoftState | undefined;
  /**
   * Present when term, vote or commit changed. To be written as one unit with `entries`, or behind them: a torn write may keep
   * entries without it, but a commit index without its entries would look like a lost log.
   */
  readonly hardState: HardState | undefined;
  /** Reads confirmed since the last ready. */
  readonly readStates: readonly ReadState[];
  /** To be appended to the durable log. */
  readonly entries: Entry[];
  /** Present when a snapshot was received: to be made durable and installed before `entries`. */
  readonly snapshot: Snapshot | undefined;
  /** To be applied, in order. Durable already, or part of this ready's `entries`. */
  readonly committedEntries: Entry[];
  /** To be sent. With asynchronous writes, also the work for the two local threads, last. */
  readonly messages: Message[];
  /**
   * Whether entries and hard state must be synced before anything is answered; a mere commit index need not be. A snapshot always
   * must.
   */
  readonly mustSync: boolean;
}

/** Whether saving must be followed by a sync: anything but a moved commit index must. */
export function mustSync(previous: HardState, ready: Pick<Ready, 'hardState' | 'entries' | 'snapshot'>): boolean {
  const { hardState } = ready;
  const promised = hardState !== undefined && (hardState.term !== previous.term || hardState.vote !== previous.vote);
  return promised || ready.entries.length > 0;
}

/** The work for the append thread; undefined when there is none. */
export function storageAppend(raft: Raft, ready: Ready): Message | undefined {
  const { hardState, entries, snapshot } = ready;
  const responses = raft.messagesAfterAppend;
  if (hardState === undefined && entries.length === 0 && snapshot === undefined && responses.length === 0) {
    return undefined;
  }
  const message = newMessage(MessageType.MSG_STORAGE_APPEND, localAppendThread);
  message.from = raft.id;
  message.entries = entries;
  message.snapshot = snapshot;
  if (hardState !== undefined) {
    message.term = hardState.term;
    message.vote = hardState.vote;
    message.commit = hardState.commit;
  }
  const acknowledgement = storageAppendResponse(raft, snapshot);
  message.responses = acknowledgement === undefined ? responses : [...responses, acknowledgement];
  return message;
}

/**
 * The acknowledgement that everything handed out so far is durable; undefined when nothing is outstanding. It names the last entry,
 * not the last of this ready, and the present term: one that arrives in a later term is void, and then the next append, which the
 * change of term brings about, acknowledges the entries again.
 */
export function storageAppendResponse(raft: Raft, snapshot: Snapshot | undefined): Message | undefined {
  const { log } = raft;
  if (!log.hasPendingEntries() && snapshot === undefined) return undefined;
  const message = newMessage(MessageType.MSG_STORAGE_APPEND_RESP, raft.id);
  message.from = localAppendThread;
  message.term = raft.term;
  message.snapshot = snapshot;
  if (log.hasPendingEntries()) {
    message.index = log.lastIndex();
    message.logTerm = log.lastTerm();
  }
  return message;
}

/** The work for the apply thread. */
export function storageApply(raft: Raft, committedEntries: Entry[]): Message {
  const message = newMessage(MessageType.MSG_STORAGE_APPLY, localApplyThread);
  message.from = raft.id;
  message.entries = committedEntries;
  message.responses = [storageApplyResponse(raft, committedEntries)];
  return message;
}

/** The acknowledgement that entries were applied. True in any term. */
export function storageApplyResponse(raft: Raft, committedEntries: Entry[]): Message {
  const message = newMessage(MessageType.MSG_STORAGE_APPLY_RESP, raft.id);
  message.from = localApplyThread;
  message.entries = committedEntries;
  return message;
}

/** Leader and role as they are now. */
export function softStateOf(raft: Raft): SoftState {
  return { leader: raft.leader, role: raft.role };
}

/** The soft state before anything happened. */
export const initialSoftState: SoftState = { leader: noMember, role: 0 };
