/** The protobuf format: the response as it came, no newline. Not for lists over several endpoints, which are no message. */
import {
  AlarmResponse,
  type Codec,
  DeleteRangeResponse,
  MemberListResponse,
  PutResponse,
  RangeResponse,
  TxnResponse,
} from '@quorate/proto';
import { fromBytes } from '../text/bytes.ts';
import type { Output, Printer } from './reports.ts';

export function protobufPrinter(output: Output): Printer {
  const raw =
    <T>(codec: Codec<T>) =>
    (response: T): void =>
      output.out(fromBytes(codec.encode(response)));
  return {
    get: raw(RangeResponse),
    put: raw(PutResponse),
    del: raw(DeleteRangeResponse),
    txn: raw(TxnResponse),
    alarm: raw(AlarmResponse),
    memberList: raw(MemberListResponse),
  };
}
