/**
 * Messages as they travel, byte for byte: the requests and answers everybody sends, and the places where implementations of this
 * protocol went wrong. The bytes were worked out by hand from the field numbers of the protocol; they never change.
 */
import {
  type Codec,
  Compare,
  CompareCompareResult,
  CompareCompareTarget,
  DeleteRangeRequest,
  DeleteRangeResponse,
  Event,
  EventEventType,
  HashKVResponse,
  InternalRaftRequest,
  KeyValue,
  LeaderKey,
  LeaseGrantRequest,
  LeaseLeasesResponse,
  LeaseStatus,
  LeaseTimeToLiveResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  RangeResponse,
  RequestHeader,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  StatusResponse,
  TxnRequest,
  TxnResponse,
  WatchCancelRequest,
  WatchCreateRequest,
  WatchCreateRequestFilterType,
  WatchProgressRequest,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import { expect, test } from 'vitest';

interface Golden {
  readonly name: string;
  readonly codec: Codec<unknown>;
  readonly message: unknown;
  /** Hex with spaces between fields. */
  readonly wire: string;
}

/** Keeps codec and message of one type. */
function golden<T>(name: string, codec: Codec<T>, init: Partial<T>, wire: string): Golden {
  return { name, codec: codec as Codec<unknown>, message: codec.create(init), wire };
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const minusOne = 'ff ff ff ff ff ff ff ff ff 01';
const twoTo63 = '80 80 80 80 80 80 80 80 80 01';
const kv = KeyValue.create({ key: bytes('k'), createRevision: 2, modRevision: 3, version: 2, value: bytes('v') });
const kvWire = '0a 01 6b 10 02 18 03 20 02 2a 01 76';
const header = ResponseHeader.create({ clusterId: 0xffff_ffff_ffff_ffffn, memberId: 1n, revision: 300, raftTerm: 2 });
const headerWire = `08 ${minusOne} 10 01 18 ac 02 20 02`;

const cases: readonly Golden[] = [
  golden('put foo bar', PutRequest, { key: bytes('foo'), value: bytes('bar') }, '0a 03 666f6f 12 03 626172'),
  golden(
    'a put with every field',
    PutRequest,
    {
      key: bytes('k'),
      value: bytes('v'),
      lease: 1n,
      prevKv: true,
      ignoreValue: true,
      ignoreLease: true,
    },
    '0a 01 6b 12 01 76 18 01 20 01 28 01 30 01',
  ),
  golden(
    'a put with a lease of 2^63: a negative number to Go, the same ten bytes',
    PutRequest,
    {
      key: bytes('k'),
      lease: 2n ** 63n,
    },
    `0a 01 6b 18 ${twoTo63}`,
  ),
  golden(
    'a put with a lease of 2^64 - 1',
    PutRequest,
    { key: bytes('k'), lease: 2n ** 64n - 1n },
    `0a 01 6b 18 ${minusOne}`,
  ),
  golden(
    'a range with every field',
    RangeRequest,
    {
      key: bytes('a'),
      rangeEnd: bytes('b'),
      limit: 128,
      revision: 7,
      sortOrder: RangeRequestSortOrder.DESCEND,
      sortTarget: RangeRequestSortTarget.VALUE,
      serializable: true,
      keysOnly: true,
      countOnly: true,
      minModRevision: 1,
      maxModRevision: 2,
      minCreateRevision: 3,
      maxCreateRevision: 4,
    },
    '0a 01 61 12 01 62 18 80 01 20 07 28 02 30 04 38 01 40 01 48 01 50 01 58 02 60 03 68 04',
  ),
  golden('a negative limit', RangeRequest, { limit: -1 }, `18 ${minusOne}`),
  golden('all keys', RangeRequest, { key: bytes('\0'), rangeEnd: bytes('\0') }, '0a 01 00 12 01 00'),
  golden(
    'an answer to a range',
    RangeResponse,
    { header, kvs: [kv], more: true, count: 5 },
    `0a 12 ${headerWire} 12 0c ${kvWire} 18 01 20 05`,
  ),
  golden(
    'an answer to a put with the former value',
    PutResponse,
    { header, prevKv: kv },
    `0a 12 ${headerWire} 12 0c ${kvWire}`,
  ),
  golden(
    'an answer with an empty header: present, and two bytes',
    PutResponse,
    { header: ResponseHeader.create() },
    '0a 00',
  ),
  golden(
    'a delete',
    DeleteRangeRequest,
    { key: bytes('a'), rangeEnd: bytes('b'), prevKv: true },
    '0a 01 61 12 01 62 18 01',
  ),
  golden('an answer to a delete', DeleteRangeResponse, { deleted: 1, prevKvs: [kv] }, `10 01 1a 0c ${kvWire}`),
  golden(
    'a compare of a lease is field 8, its range end field 64',
    Compare,
    {
      result: CompareCompareResult.GREATER,
      target: CompareCompareTarget.LEASE,
      key: bytes('k'),
      rangeEnd: bytes('l'),
      lease: 2n ** 63n,
    },
    `08 01 10 04 1a 01 6b 40 ${twoTo63} 82 04 01 6c`,
  ),
  golden(
    'a compare with zero is not a compare with nothing',
    Compare,
    {
      target: CompareCompareTarget.MOD,
      key: bytes('k'),
      modRevision: 0,
    },
    '10 02 1a 01 6b 30 00',
  ),
  golden(
    'a compare with an empty value',
    Compare,
    {
      target: CompareCompareTarget.VALUE,
      key: bytes('k'),
      value: bytes(''),
    },
    '10 03 1a 01 6b 3a 00',
  ),
  golden(
    'a transaction',
    TxnRequest,
    {
      compare: [Compare.create({ target: CompareCompareTarget.CREATE, key: bytes('k'), createRevision: 0 })],
      success: [RequestOp.create({ requestPut: PutRequest.create({ key: bytes('k') }) })],
      failure: [
        RequestOp.create({ requestRange: RangeRequest.create({ key: bytes('k') }) }),
        RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key: bytes('k') }) }),
        RequestOp.create({ requestTxn: TxnRequest.create() }),
      ],
    },
    '0a 07 10 01 1a 01 6b 28 00 12 05 12 03 0a 01 6b 1a 05 0a 03 0a 01 6b 1a 05 1a 03 0a 01 6b 1a 02 22 00',
  ),
  golden(
    'an answer to a transaction',
    TxnResponse,
    {
      succeeded: true,
      responses: [
        ResponseOp.create({ responsePut: PutResponse.create({ header: ResponseHeader.create({ revision: 3 }) }) }),
        ResponseOp.create({ responseTxn: TxnResponse.create({ header: ResponseHeader.create() }) }),
      ],
    },
    '10 01 1a 06 12 04 0a 02 18 03 1a 04 22 02 0a 00',
  ),
  golden(
    'a watch with filters, packed',
    WatchRequest,
    {
      createRequest: WatchCreateRequest.create({
        key: bytes('k'),
        startRevision: 5,
        progressNotify: true,
        prevKv: true,
        fragment: true,
        filters: [WatchCreateRequestFilterType.NOPUT, WatchCreateRequestFilterType.NODELETE],
      }),
    },
    '0a 0f 0a 01 6b 18 05 20 01 2a 02 00 01 30 01 40 01',
  ),
  golden(
    'a watch cancelled',
    WatchRequest,
    { cancelRequest: WatchCancelRequest.create({ watchId: 3n }) },
    '12 02 08 03',
  ),
  golden(
    'a progress request: an empty message',
    WatchRequest,
    { progressRequest: WatchProgressRequest.create() },
    '1a 00',
  ),
  golden(
    'progress of a whole stream has watch id -1',
    WatchResponse,
    {
      header: ResponseHeader.create({ revision: 9 }),
      watchId: -1n,
    },
    `0a 02 18 09 10 ${minusOne}`,
  ),
  golden(
    'events are field 11',
    WatchResponse,
    {
      watchId: 1n,
      events: [
        Event.create({ kv }),
        Event.create({
          type: EventEventType.DELETE,
          kv: KeyValue.create({ key: bytes('k'), modRevision: 4 }),
          prevKv: kv,
        }),
      ],
    },
    `10 01 5a 0e 12 0c ${kvWire} 5a 17 08 01 12 05 0a 01 6b 18 04 1a 0c ${kvWire}`,
  ),
  golden(
    'a watch refused',
    WatchResponse,
    {
      watchId: -1n,
      created: true,
      canceled: true,
      compactRevision: 5,
      cancelReason: 'no',
      fragment: true,
    },
    `10 ${minusOne} 18 01 20 01 28 05 32 02 6e6f 38 01`,
  ),
  golden('a lease granted with an id of 2^63', LeaseGrantRequest, { ttl: 60, id: 2n ** 63n }, `08 3c 10 ${twoTo63}`),
  golden(
    'a lease that is gone has a time to live of -1',
    LeaseTimeToLiveResponse,
    {
      id: 7n,
      ttl: -1,
      keys: [bytes('a'), bytes('')],
    },
    `10 07 18 ${minusOne} 2a 01 61 2a 00`,
  ),
  golden(
    'leases listed',
    LeaseLeasesResponse,
    {
      leases: [LeaseStatus.create({ id: 1n }), LeaseStatus.create()],
    },
    '12 02 08 01 12 00',
  ),
  golden(
    'a hash with its top bit set is unsigned',
    HashKVResponse,
    {
      hash: 0xffff_ffff,
      compactRevision: -1,
      hashRevision: 9,
    },
    `10 ff ff ff ff 0f 18 ${minusOne} 20 09`,
  ),
  golden(
    'a status',
    StatusResponse,
    {
      version: '3',
      dbSize: 2 ** 35,
      leader: 2n ** 64n - 1n,
      raftIndex: 1,
      raftTerm: 2,
      raftAppliedIndex: 1,
      errors: ['x', ''],
      dbSizeInUse: 1,
      isLearner: true,
      storageVersion: '3',
      dbSizeQuota: 1,
    },
    `12 01 33 18 80 80 80 80 80 01 20 ${minusOne} 28 01 30 02 38 01 42 01 78 42 00 48 01 50 01 5a 01 33 60 01`,
  ),
  golden(
    'a leader key',
    LeaderKey,
    {
      name: bytes('n'),
      key: bytes('n/1'),
      rev: 4,
      lease: 2n ** 63n,
    },
    `0a 01 6e 12 03 6e2f31 18 04 20 ${twoTo63}`,
  ),
  golden(
    'a command of the log: the header is field 100 and comes last',
    InternalRaftRequest,
    {
      header: RequestHeader.create({ id: 1, proposer: 2n }),
      put: PutRequest.create({ key: bytes('k') }),
    },
    '22 03 0a 01 6b a2 06 04 08 01 20 02',
  ),
];

test.each(cases)('$name', ({ codec, message, wire }) => {
  const expected = Buffer.from(wire.replaceAll(' ', ''), 'hex');
  expect(codec.encode(message)).toEqual(expected);
  expect(codec.decode(expected)).toStrictEqual(message);
});
