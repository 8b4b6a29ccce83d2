/** Random requests over few keys, so that they meet. */
import {
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '@quorate/proto';
import fc from 'fast-check';

/** Keys with the edges of byte order among them. */
const keys = ['a', 'b', 'c', 'ab', 'a\0', '\xff'];
const ends = ['', '', '', '\0', 'a', 'b', 'bb', 'd', '\xff'];
/** Leases that exist, one that does not, and one that is negative on the wire. */
export const knownLeases: readonly bigint[] = [7n, 0xffff_ffff_ffff_fff0n];
const leases = [0n, 0n, 0n, 0n, ...knownLeases, 99n];

const bytes = (texts: readonly string[]): fc.Arbitrary<Buffer> =>
  fc.constantFrom(...texts).map((text) => Buffer.from(text, 'latin1'));
const key = bytes(keys);
const rangeEnd = bytes(ends);
const value = bytes(['', '1', '2', 'long value']);
const lease = fc.constantFrom(...leases);
const often = (flag: fc.Arbitrary<boolean>): fc.Arbitrary<boolean> =>
  fc.oneof(fc.constant(false), fc.constant(false), flag);
const flag = often(fc.boolean());
/** A revision near those a short history has. */
const revision = fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: -2, max: 14 }));
const bound = fc.oneof(fc.constant(0), fc.constant(0), fc.constant(0), fc.integer({ min: -1, max: 9 }));

export const rangeRequests: fc.Arbitrary<RangeRequest> = fc
  .record({
    key,
    rangeEnd,
    revision,
    limit: fc.constantFrom(0, 0, 1, 2, 3, -1, Number.MAX_SAFE_INTEGER),
    sortOrder: fc.constantFrom(0, 0, 0, 1, 2),
    sortTarget: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
    serializable: fc.boolean(),
    keysOnly: flag,
    countOnly: flag,
    minModRevision: bound,
    maxModRevision: bound,
    minCreateRevision: bound,
    maxCreateRevision: bound,
  })
  .map((fields) => RangeRequest.create(fields));

/** Some keep the value or the lease of the version before, and then bring none along. */
export const putRequests: fc.Arbitrary<PutRequest> = fc
  .record({ key, value, lease, prevKv: fc.boolean(), ignoreValue: flag, ignoreLease: flag })
  .map((fields) => {
    const request = PutRequest.create(fields);
    if (request.ignoreValue) request.value = Buffer.alloc(0);
    if (request.ignoreLease) request.lease = 0n;
    return request;
  });

export const deleteRangeRequests: fc.Arbitrary<DeleteRangeRequest> = fc
  .record({ key, rangeEnd, prevKv: fc.boolean() })
  .map((fields) => DeleteRangeRequest.create(fields));

export const compactionRequests: fc.Arbitrary<CompactionRequest> = fc
  .record({ revision: fc.integer({ min: -1, max: 12 }), physical: fc.boolean() })
  .map((fields) => CompactionRequest.create(fields));

/** Operands fit the target or do not; operators and targets go one beyond the enumerations. */
const compares: fc.Arbitrary<Compare> = fc
  .record({
    key,
    rangeEnd,
    result: fc.constantFrom(0, 0, 1, 2, 3, 4),
    target: fc.constantFrom(0, 1, 2, 3, 3, 4, 5),
    operand: fc.oneof(
      fc.record({ version: fc.integer({ min: -1, max: 3 }) }),
      fc.record({ createRevision: fc.integer({ min: -1, max: 12 }) }),
      fc.record({ modRevision: fc.integer({ min: -1, max: 12 }) }),
      fc.record({ value }),
      fc.record({ lease }),
      fc.constant({}),
    ),
  })
  .map(({ operand, ...fields }) => Compare.create({ ...fields, ...operand }));

export const txnRequests: fc.Arbitrary<TxnRequest> = fc.letrec<{ txn: TxnRequest; op: RequestOp }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    putRequests.map((requestPut) => RequestOp.create({ requestPut })),
    rangeRequests.map((requestRange) => RequestOp.create({ requestRange })),
    deleteRangeRequests.map((requestDeleteRange) => RequestOp.create({ requestDeleteRange })),
    tie('txn').map((requestTxn) => RequestOp.create({ requestTxn })),
  ),
  txn: fc
    .record({
      compare: fc.array(compares, { maxLength: 2 }),
      success: fc.array(tie('op'), { maxLength: 4 }),
      failure: fc.array(tie('op'), { maxLength: 3 }),
    })
    .map((fields) => TxnRequest.create(fields)),
})).txn;

/** One request of any kind of the KV service. */
export type KvRequest =
  | { readonly kind: 'range'; readonly request: RangeRequest }
  | { readonly kind: 'put'; readonly request: PutRequest }
  | { readonly kind: 'deleteRange'; readonly request: DeleteRangeRequest }
  | { readonly kind: 'txn'; readonly request: TxnRequest }
  | { readonly kind: 'compact'; readonly request: CompactionRequest };

const kindOf =
  <Kind extends KvRequest['kind']>(kind: Kind) =>
  <Request>(request: Request): { kind: Kind; request: Request } => ({ kind, request });

export const kvRequests: fc.Arbitrary<KvRequest> = fc.oneof(
  { weight: 4, arbitrary: putRequests.map(kindOf('put')) },
  { weight: 2, arbitrary: deleteRangeRequests.map(kindOf('deleteRange')) },
  { weight: 4, arbitrary: txnRequests.map(kindOf('txn')) },
  { weight: 3, arbitrary: rangeRequests.map(kindOf('range')) },
  { weight: 1, arbitrary: compactionRequests.map(kindOf('compact')) },
);
