/** What can be shown, whatever the format. A format implements the reports it supports; the rest it refuses by name. */
import type {
  AlarmResponse,
  DeleteRangeResponse,
  DowngradeResponse,
  HashKVResponse,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  StatusResponse,
  TxnResponse,
  WatchResponse,
} from '@quorate/proto';
import type { ByteString } from '../text/bytes.ts';

/** The answer of one endpoint to `endpoint status`. */
export interface EndpointStatus {
  readonly endpoint: string;
  readonly status: StatusResponse;
}

/** The outcome of `endpoint health` for one endpoint. */
export interface EndpointHealth {
  readonly endpoint: string;
  readonly healthy: boolean;
  /** Milliseconds until the answer. */
  readonly tookMs: number;
  /** Why it is not healthy; empty when it is. */
  readonly error: ByteString;
}

/** The answer of one endpoint to `endpoint hashkv`. */
export interface EndpointHash {
  readonly endpoint: string;
  readonly hash: HashKVResponse;
}

/** What is in a backup file. */
export interface SnapshotStatus {
  readonly hash: number;
  readonly revision: number;
  readonly totalKey: number;
  /** Bytes. */
  readonly totalSize: number;
  /** Of the stored schema. */
  readonly version: string;
}

/** What was found in the files of a member. */
export interface FilesReport {
  readonly notes: readonly string[];
  readonly problems: readonly {
    readonly file: string;
    readonly offset: number | undefined;
    /** Empty when it is about no row. */
    readonly key: string;
    readonly reason: string;
  }[];
}

/** One function per thing to show. */
export interface Reports {
  readonly get: (response: RangeResponse, options: { readonly valueOnly: boolean }) => void;
  readonly put: (response: PutResponse) => void;
  readonly del: (response: DeleteRangeResponse) => void;
  readonly txn: (response: TxnResponse) => void;
  readonly watch: (response: WatchResponse) => void;
  readonly leaseGrant: (response: LeaseGrantResponse) => void;
  readonly leaseRevoke: (response: LeaseRevokeResponse, options: { readonly id: bigint }) => void;
  readonly leaseTimeToLive: (response: LeaseTimeToLiveResponse, options: { readonly keys: boolean }) => void;
  readonly leaseList: (response: LeaseLeasesResponse) => void;
  readonly leaseKeepAlive: (response: LeaseKeepAliveResponse) => void;
  readonly alarm: (response: AlarmResponse) => void;
  readonly memberAdd: (response: MemberAddResponse) => void;
  readonly memberRemove: (response: MemberRemoveResponse, options: { readonly id: bigint }) => void;
  readonly memberUpdate: (response: MemberUpdateResponse, options: { readonly id: bigint }) => void;
  readonly memberPromote: (response: MemberPromoteResponse, options: { readonly id: bigint }) => void;
  readonly moveLeader: (response: MoveLeaderResponse, leader: { readonly from: bigint; readonly to: bigint }) => void;
  readonly downgrade: (response: DowngradeResponse, options: { readonly action: string }) => void;
  readonly memberList: (response: MemberListResponse) => void;
  readonly endpointHealth: (list: readonly EndpointHealth[]) => void;
  readonly endpointStatus: (list: readonly EndpointStatus[]) => void;
  readonly endpointHashKv: (list: readonly EndpointHash[]) => void;
  readonly snapshotStatus: (status: SnapshotStatus) => void;
  readonly verify: (report: FilesReport) => void;
}

/** A format: the reports it has. */
export type Printer = Partial<Reports>;

/** Where reports go. */
export interface Output {
  out(text: ByteString): void;
  err(text: ByteString): void;
}
