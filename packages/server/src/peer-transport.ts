/**
 * Messages between members. Delivery is at most once and in order per direction while a connection lasts; raft copes with loss.
 * A state too large for a message (a snapshot) travels on a stream of its own, with its own flow control.
 */
import type { ClusterId, MemberId } from '@quorate/base';
import type { LeaseAnswer, LeaseAsk, Member, Message } from '@quorate/proto';

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
  readonly members: readonly Member[];
  readonly leader: MemberId;
  readonly appliedIndex: number;
}

/** What is asked of the leader about a lease. */
export type LeaseQuestion = Pick<LeaseAsk, 'id' | 'renew' | 'keys'>;

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
}

export interface PeerTransport {
  /** Starts to accept and to connect. */
  start(identity: PeerIdentity, handler: PeerHandler): Promise<void>;
  /** The other members as of now; connections to members no longer listed end. */
  setPeers(peers: readonly PeerAddress[]): void;
  /** Sends without waiting; messages of one call to one peer travel together. Lost messages are reported as unreachable. */
  send(messages: readonly Message[]): void;
  /** Sends a snapshot; resolves when the receiver has it. */
  sendSnapshot(message: Message, chunks: SnapshotChunks): Promise<void>;
  /** Asks a member that may lead about a lease; rejects when there is no answer within `timeoutMs`. */
  askLease(to: MemberId, ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer>;
  /** Milliseconds (clock) since when the peer is connected without a break, undefined while it is not. */
  connectedSinceMs(peer: MemberId): number | undefined;
  stop(): Promise<void>;
}
