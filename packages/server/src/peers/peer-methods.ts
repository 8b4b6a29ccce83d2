/** The methods between members as grpc-js wants them, and the words in which a member refuses another. */
import { type ServiceError, status } from '@grpc/grpc-js';
import {
  Batch,
  HashAnswer,
  HashAsk,
  InfoRequest,
  InfoResponse,
  LeaseAnswer,
  LeaseAsk,
  PromoteAnswer,
  PromoteAsk,
  SnapshotChunk,
  SnapshotReceipt,
} from '@quorate/proto';
import { Refusal } from '../standing.ts';

export const peerPaths = {
  raft: '/peerpb.Peer/Raft',
  snapshot: '/peerpb.Peer/Snapshot',
  lease: '/peerpb.Peer/Lease',
  info: '/peerpb.Peer/Info',
  state: '/peerpb.Peer/State',
  promote: '/peerpb.Peer/Promote',
  hash: '/peerpb.Peer/Hash',
} as const;

/** Peer streams are few and long: no limit on message sizes, quick detection of a dead connection. */
export const peerChannelOptions = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
} as const;

const refusalTexts: Readonly<Record<Refusal, string>> = {
  [Refusal.removed]: 'the member has been permanently removed from the cluster',
  [Refusal.otherIncarnation]: 'the member came back with another data directory',
};

/** A refusal as the error that ends a stream. */
export function refusalError(refusal: Refusal): ServiceError {
  return failure(status.FAILED_PRECONDITION, refusalTexts[refusal]);
}

/** The refusal that an error of a call says; undefined when it says something else. */
export function refusalIn(error: ServiceError | undefined): Refusal | undefined {
  if (error?.code !== status.FAILED_PRECONDITION) return undefined;
  return Object.values(Refusal).find((refusal) => refusalTexts[refusal] === error.details);
}

export function failure(code: number, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: undefined as never });
}

const bytesAsTheyAre = { encode: (bytes: Buffer) => bytes, decode: (bytes: Buffer) => bytes };

/** Descriptions of all methods, for a server. Raft's batches arrive undecoded: their bytes are counted per peer. */
export const peerMethods: Readonly<Record<keyof typeof peerPaths, PeerMethod>> = {
  raft: method(peerPaths.raft, bytesAsTheyAre, Batch, { requestStream: true, responseStream: true }),
  snapshot: method(peerPaths.snapshot, SnapshotChunk, SnapshotReceipt, { requestStream: true }),
  lease: method(peerPaths.lease, LeaseAsk, LeaseAnswer),
  info: method(peerPaths.info, InfoRequest, InfoResponse),
  state: method(peerPaths.state, InfoRequest, SnapshotChunk, { responseStream: true }),
  promote: method(peerPaths.promote, PromoteAsk, PromoteAnswer),
  hash: method(peerPaths.hash, HashAsk, HashAnswer),
};

interface RawCodec {
  decode(bytes: Buffer): unknown;
  encode(message: never): Buffer;
}

/** As grpc-js describes a method. */
export interface PeerMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: unknown) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (message: unknown) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

function method(
  path: string,
  request: RawCodec,
  response: RawCodec,
  streams: { readonly requestStream?: boolean; readonly responseStream?: boolean } = {},
): PeerMethod {
  return {
    path,
    requestStream: streams.requestStream ?? false,
    responseStream: streams.responseStream ?? false,
    requestSerialize: (message) => request.encode(message as never),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (message) => response.encode(message as never),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}
