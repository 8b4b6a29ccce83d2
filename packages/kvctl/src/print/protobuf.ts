/** The protobuf format: the response as it came, no newline. Not for lists over several endpoints, which are no message. */
import {
  AlarmResponse,
  type Codec,
  DeleteRangeResponse,
  DowngradeResponse,
  LeaseRevokeResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  TxnResponse,
  WatchResponse,
} from '@quorate/proto';
import { fromBytes } from '../text/bytes.ts';
import type { Output, Printer } from './reports.ts';

export function protobufPrinter(output: Output): Printer {
  const raw =
    <T>(codec: Codec<T>) =>
    (response: T): void =>
      output.out(fromBytes(codec.encode(response)));
  // Leases are no messages to etcdctl but its own types around a header, and the header is all it writes of them.
  const headerOf = ({ header }: { readonly header: ResponseHeader | undefined }): void =>
    output.out(fromBytes(ResponseHeader.encode(header ?? ResponseHeader.create())));
  return {
    get: raw(RangeResponse),
    put: raw(PutResponse),
    del: raw(DeleteRangeResponse),
    txn: raw(TxnResponse),
    watch: raw(WatchResponse),
    leaseGrant: headerOf,
    leaseRevoke: raw(LeaseRevokeResponse),
    leaseTimeToLive: headerOf,
    leaseList: headerOf,
    leaseKeepAlive: headerOf,
    alarm: raw(AlarmResponse),
    memberList: raw(MemberListResponse),
    memberAdd: raw(MemberAddResponse),
    memberRemove: raw(MemberRemoveResponse),
    memberUpdate: raw(MemberUpdateResponse),
    memberPromote: raw(MemberPromoteResponse),
    moveLeader: raw(MoveLeaderResponse),
    downgrade: raw(DowngradeResponse),
  };
}
