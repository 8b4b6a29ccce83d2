/**
 * Messages between members. Delivery is at most once and in order per direction while a connection lasts; raft copes with loss.
 * A state too large for a message (a snapshot) travels on a stream of its own, with its own flow control.
 */
import type { ClusterId, MemberId } from '@quorate/base';
import type { HashAnswer, HashAsk, LeaseAnswer, LeaseAsk, Message, PeerMember, PromoteAnswer } from '@quorate/proto';
import type { Refusal, Speaker } from './standing.ts';

/** Whose messages these are; refused by the other side when it does not fit. */
export interface PeerIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Random per data directory, so that a wiped member is told apart from its former self. */
  readonly incarnation: bigint;
}

/** Another member and where it can be reached. */
export interface PeerAddress {
  readonly id: MemberId;
  readonly urls: readonly string[];
}

/** A member's knowledge of its cluster, as asked by peers. */
export interface PeerInfo {
  readonly members: readonly PeerMember[];
  readonly leader: MemberId;
  readonly appliedIndex: number;
}

/** What a member answers to one that has no data yet. */
export interface RemoteInfo extends PeerInfo {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

/** A member's whole state, on its way: the message says where it stands. */
export interface StateStream {
  readonly message: Message;
  readonly chunks: SnapshotChunks;
}

/** What is asked of the leader about a lease. */
export type LeaseQuestion = Pick<LeaseAsk, 'id' | 'renew' | 'keys'>;

/** Which hash of the history is asked for. */
export type HashQuestion = Pick<HashAsk, 'revision' | 'ofCompaction'>;

/** Chunks of an encoded snapshot, in order; the sender pulls, so a slow receiver slows the reading. */
export type SnapshotChunks = AsyncIterable<Buffer>;

/** What the transport calls on the member. */
export interface PeerHandler {
  /** Messages of one batch from one peer, already checked to be of this cluster and for this member. */
  receive(messages: readonly Message[]): void;
  /** A snapshot stream: resolves when the state is on disk and handed to raft; rejects when it was refused or damaged. */
  receiveSnapshot(message: Message, chunks: SnapshotChunks): Promise<void>;
  /** A message to `peer` could not be delivered. */
  unreachable(peer: MemberId): void;
  /** Nobody listens at `peer`'s address any more, although the machine answers: its process is dead. */
  gone(peer: MemberId): void;
  /** What a lease has left, after its renewal if that is asked for. Rejects when that cannot be told now. */
  lease(ask: LeaseQuestion): Promise<LeaseAnswer>;
  /** What this member knows of the cluster, for members that join or check. */
  info(): PeerInfo;
  /** This member's whole state, for one whose own is damaged. Rejects when there is none to be had now. */
  state(): Promise<StateStream>;
  /** The hash of this member's history. Never rejects: an answer says why there is none. */
  hash(ask: HashQuestion): Promise<HashAnswer>;
  /** Makes a learner a voter, if this member leads. */
  promote(id: MemberId): Promise<PromoteAnswer>;
  /** Where this member is reached by its peers. */
  peerUrls(): readonly string[];
  /** Why a member is not to be listened to; undefined when it is. */
  refusalOf(speaker: Speaker): Refusal | undefined;
  /** `peer` does not listen to this member any more, for good. */
  refusedBy(peer: MemberId, refusal: Refusal): void;
}

export interface PeerTransport {
  /** Starts to accept and to connect. */
  start(identity: PeerIdentity, handler: PeerHandler): Promise<void>;
  /** What the member at `url` knows of its cluster; may be called before start. Rejects when it does not answer in time. */
  fetchInfo(url: string, timeoutMs: number): Promise<RemoteInfo>;
  /**
   * Asks the member `peer` at `url` for its whole state; may be called before start. Rejects when it cannot be had; the chunks
   * throw when the stream breaks.
   */
  fetchState(url: string, who: { readonly own: PeerIdentity; readonly peer: MemberId }): Promise<StateStream>;
  /**
   * The other members as of now; connections to and from members that are refused end. One that is not listed and not refused,
   * but speaks to us, knows more than we do: it is answered at the address it names.
   */
  setPeers(peers: readonly PeerAddress[]): void;
  /** Sends without waiting; messages of one call to one peer travel together. Lost messages are reported as unreachable. */
  send(messages: readonly Message[]): void;
  /** Sends a snapshot; resolves when the receiver has it. */
  sendSnapshot(message: Message, chunks: SnapshotChunks): Promise<void>;
  /** Asks a member that may lead about a lease; rejects when there is no answer within `timeoutMs`. */
  askLease(to: MemberId, ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer>;
  /** Asks a member that may lead to make a learner a voter; rejects when there is no answer within `timeoutMs`. */
  askPromote(to: MemberId, id: MemberId, timeoutMs: number): Promise<PromoteAnswer>;
  /** Asks a member for the hash of its history; rejects when there is no answer within `timeoutMs`. */
  askHash(to: MemberId, ask: HashQuestion, timeoutMs: number): Promise<HashAnswer>;
  /** Milliseconds (clock) since when the peer is connected without a break, undefined while it is not. */
  connectedSinceMs(peer: MemberId): number | undefined;
  /** Version of the server that the peer runs, as it said when it was connected last; undefined before. */
  versionOf(peer: MemberId): string | undefined;
  stop(): Promise<void>;
}
