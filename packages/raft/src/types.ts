/**
 * The vocabulary of the core: roles, message and entry types, and the small factories that build entries and messages with every
 * field set in one order, so that all of them share one shape. The data types themselves are the wire contract of package proto,
 * taken as types only: the core runs without it.
 */
import type { MemberId } from '@quorate/base';
import type {
  ConfChange,
  ConfChangeV2,
  Entry,
  HardState,
  Message,
  ConfChangeTransition as WireConfChangeTransition,
  ConfChangeType as WireConfChangeType,
  EntryType as WireEntryType,
  MessageType as WireMessageType,
} from '@quorate/proto';

/** What a member is in its term. */
export const Role = { follower: 0, candidate: 1, leader: 2, preCandidate: 3 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** Message types, as on the wire. */
export const MessageType: typeof WireMessageType = {
  MSG_HUP: 0,
  MSG_BEAT: 1,
  MSG_PROP: 2,
  MSG_APP: 3,
  MSG_APP_RESP: 4,
  MSG_VOTE: 5,
  MSG_VOTE_RESP: 6,
  MSG_SNAP: 7,
  MSG_HEARTBEAT: 8,
  MSG_HEARTBEAT_RESP: 9,
  MSG_UNREACHABLE: 10,
  MSG_SNAP_STATUS: 11,
  MSG_CHECK_QUORUM: 12,
  MSG_TRANSFER_LEADER: 13,
  MSG_TIMEOUT_NOW: 14,
  MSG_READ_INDEX: 15,
  MSG_READ_INDEX_RESP: 16,
  MSG_PRE_VOTE: 17,
  MSG_PRE_VOTE_RESP: 18,
  MSG_STORAGE_APPEND: 19,
  MSG_STORAGE_APPEND_RESP: 20,
  MSG_STORAGE_APPLY: 21,
  MSG_STORAGE_APPLY_RESP: 22,
  MSG_FORGET_LEADER: 23,
};

/** What log lines call a message type: its name on the wire. */
export function messageTypeName(type: number): string {
  return Object.entries(MessageType).find(([, number]) => number === type)?.[0] ?? String(type);
}

/** Entry types, as on the wire. */
export const EntryType: typeof WireEntryType = {
  ENTRY_NORMAL: 0,
  ENTRY_CONF_CHANGE: 1,
  ENTRY_CONF_CHANGE_V2: 2,
};

/** Kinds of a single configuration change, as on the wire. */
export const ConfChangeType: typeof WireConfChangeType = {
  CONF_CHANGE_ADD_NODE: 0,
  CONF_CHANGE_REMOVE_NODE: 1,
  CONF_CHANGE_UPDATE_NODE: 2,
  CONF_CHANGE_ADD_LEARNER_NODE: 3,
};

/** How a configuration change is entered and left, as on the wire. */
export const ConfChangeTransition: typeof WireConfChangeTransition = {
  CONF_CHANGE_TRANSITION_AUTO: 0,
  CONF_CHANGE_TRANSITION_JOINT_IMPLICIT: 1,
  CONF_CHANGE_TRANSITION_JOINT_EXPLICIT: 2,
};

/** Address of the local thread that makes entries, hard state and snapshots durable (asynchronous storage writes only). */
export const localAppendThread: MemberId = 0xffff_ffff_ffff_ffffn;
/** Address of the local thread that applies committed entries (asynchronous storage writes only). */
export const localApplyThread: MemberId = 0xffff_ffff_ffff_fffen;

/** Whether `id` is one of the two local threads and not a member. */
export function isLocalThread(id: MemberId): boolean {
  return id === localAppendThread || id === localApplyThread;
}

/** Turns one kind of payload into bytes and back; the codecs of package proto fit. */
export interface PayloadCodec<T> {
  encode(value: T): Buffer;
  /** Throws on malformed bytes. */
  decode(bytes: Uint8Array): T;
}

/** How configuration changes are written into entries: `{ v1: ConfChange, v2: ConfChangeV2 }` with the codecs of proto. */
export interface ConfChangeCodec {
  readonly v1: PayloadCodec<ConfChange>;
  readonly v2: PayloadCodec<ConfChangeV2>;
}

/** Leader and role: what is not kept on disk. */
export interface SoftState {
  /** 0n while none is known. */
  readonly leader: MemberId;
  readonly role: Role;
}

/** A confirmed read: state that includes `index` may answer it. */
export interface ReadState {
  /** Commit index at the time the leader took the request. */
  readonly index: number;
  /** What the caller passed to readIndex. */
  readonly requestContext: Buffer;
}

/** The empty payload; shared. */
export const emptyBytes: Buffer = Buffer.alloc(0);

/** Context of an append that wants no answer unless it is rejected; see RaftConfig.quietCommits. */
export const quietContext: Buffer = Buffer.from([1]);

/** An entry not yet placed in a log: the leader sets term and index when it appends it. */
export function newEntry(type: number, data: Buffer): Entry {
  return { term: 0, index: 0, type, data };
}

/** A message with nothing but type and receiver set. */
export function newMessage(type: number, to: MemberId): Message {
  return {
    type,
    to,
    from: 0n,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: [],
    commit: 0,
    vote: 0n,
    snapshot: undefined,
    reject: false,
    rejectHint: 0,
    context: emptyBytes,
    responses: [],
  };
}

/** True when nothing was ever written: no term, no vote, no commit. */
export function isEmptyHardState(state: HardState): boolean {
  return state.term === 0 && state.vote === 0n && state.commit === 0;
}

/**
 * Bytes an entry takes beside its data, in messages, on disk and in memory: an upper bound for tags, term, index, type and
 * length prefixes, so that a limited batch never exceeds its limit once encoded.
 */
export const entryOverheadBytes = 32;

/** Encoded size of `entries`, estimated from above: data and overhead. */
export function entriesSizeBytes(entries: readonly Entry[]): number {
  return payloadSizeBytes(entries) + entries.length * entryOverheadBytes;
}

/** Bytes of data in `entries`, without overhead; an empty entry counts nothing, so flow control never refuses it. */
export function payloadSizeBytes(entries: readonly Entry[]): number {
  let size = 0;
  for (let i = 0; i < entries.length; i++) size += entries[i]!.data.length;
  return size;
}

/**
 * First position after those of `entries` in [lo, hi) that fit into `maxBytes`, and at least one of them (if there is one), so
 * that an entry above the limit still moves.
 */
export function limitSize(
  entries: readonly Entry[],
  bounds: { readonly lo: number; readonly hi: number },
  maxBytes: number,
): number {
  const { lo, hi } = bounds;
  if (maxBytes === Number.POSITIVE_INFINITY || hi - lo <= 1) return hi;
  let size = 0;
  for (let i = lo; i < hi; i++) {
    size += entries[i]!.data.length + entryOverheadBytes;
    if (size > maxBytes && i > lo) return i;
  }
  return hi;
}
