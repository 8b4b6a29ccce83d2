import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CompactionResponse,
  DeleteRangeResponse,
  Event,
  emptyBytes,
  encodeDeleteRangeResponse,
  encodeEvent,
  encodeHeaderPrefix,
  encodeHeaderResponse,
  encodePutResponse,
  encodeRangeResponse,
  encodeTxnResponse,
  encodeWatchResponse,
  KeyValue,
  type OpParts,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  TxnResponse,
  WatchResponse,
} from './index.ts';
import { anyMessage, codecs } from './testing/reflection.ts';

function arbitrary<T>(codec: { readonly name: string }): fc.Arbitrary<T> {
  return anyMessage(codecs.find(({ name }) => name === codec.name)!) as unknown as fc.Arbitrary<T>;
}

const anyHeader = arbitrary<ResponseHeader>(ResponseHeader);
const anyKeyValue = arbitrary<KeyValue>(KeyValue);
const encodeAll = (kvs: readonly KeyValue[]): Buffer[] => kvs.map((kv) => KeyValue.encode(kv));

describe('a spliced response is byte for byte what the plain codec writes', () => {
  test('a header alone', () => {
    fc.assert(
      fc.property(anyHeader, (header) => {
        const spliced = encodeHeaderResponse({ headerPrefix: encodeHeaderPrefix(header), revision: header.revision });
        expect(spliced).toEqual(CompactionResponse.encode(CompactionResponse.create({ header })));
      }),
    );
  });

  test('range', () => {
    fc.assert(
      fc.property(arbitrary<RangeResponse>(RangeResponse), anyHeader, (message, header) => {
        const { kvs, more, count } = message;
        const spliced = encodeRangeResponse({
          headerPrefix: encodeHeaderPrefix(header),
          revision: header.revision,
          kvs: encodeAll(kvs),
          more,
          count,
        });
        expect(spliced).toEqual(RangeResponse.encode({ header, kvs, more, count }));
      }),
    );
  });

  test('put', () => {
    fc.assert(
      fc.property(fc.option(anyKeyValue, { nil: undefined }), anyHeader, (prevKv, header) => {
        const spliced = encodePutResponse({
          headerPrefix: encodeHeaderPrefix(header),
          revision: header.revision,
          prevKv: prevKv && KeyValue.encode(prevKv),
        });
        expect(spliced).toEqual(PutResponse.encode({ header, prevKv }));
      }),
    );
  });

  test('delete', () => {
    fc.assert(
      fc.property(arbitrary<DeleteRangeResponse>(DeleteRangeResponse), anyHeader, (message, header) => {
        const spliced = encodeDeleteRangeResponse({
          headerPrefix: encodeHeaderPrefix(header),
          revision: header.revision,
          deleted: message.deleted,
          prevKvs: encodeAll(message.prevKvs),
        });
        expect(spliced).toEqual(DeleteRangeResponse.encode({ ...message, header }));
      }),
    );
  });

  test('transaction, nested ones included', () => {
    fc.assert(
      fc.property(anyOps(3), anyHeader, fc.boolean(), (ops, header, succeeded) => {
        const spliced = encodeTxnResponse({
          headerPrefix: encodeHeaderPrefix(header),
          revision: header.revision,
          succeeded,
          responses: ops.map((op) => op.parts),
        });
        expect(spliced).toEqual(TxnResponse.encode({ header, succeeded, responses: ops.map((op) => op.plain) }));
      }),
    );
  });

  test('watch', () => {
    fc.assert(
      fc.property(arbitrary<WatchResponse>(WatchResponse), anyHeader, (message, header) => {
        const spliced = encodeWatchResponse({
          ...message,
          headerPrefix: encodeHeaderPrefix(header),
          revision: header.revision,
          events: message.events.map((event) => Event.encode(event)),
        });
        expect(spliced).toEqual(WatchResponse.encode({ ...message, header }));
      }),
    );
  });

  test('event', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1),
        anyKeyValue,
        fc.option(anyKeyValue, { nil: undefined }),
        (type, kv, prevKv) => {
          const spliced = encodeEvent(type, KeyValue.encode(kv), prevKv && KeyValue.encode(prevKv));
          expect(spliced).toEqual(Event.encode({ type, kv, prevKv }));
        },
      ),
    );
  });
});

test('an operation in a transaction has a header with its revision only, a nested transaction an empty one', () => {
  const put: OpParts = { op: 'put', revision: 9, prevKv: undefined };
  const bytes = encodeTxnResponse({
    headerPrefix: encodeHeaderPrefix({ clusterId: 1n, memberId: 2n, raftTerm: 3 }),
    revision: 9,
    succeeded: true,
    responses: [put, { op: 'txn', revision: 9, succeeded: false, responses: [put] }],
  });
  const { header, responses } = TxnResponse.decode(bytes);
  expect(header).toEqual({ clusterId: 1n, memberId: 2n, revision: 9, raftTerm: 3 });
  expect(responses[0]?.responsePut?.header).toEqual(ResponseHeader.create({ revision: 9 }));
  expect(responses[1]?.responseTxn?.header).toEqual(ResponseHeader.create());
  expect(responses[1]?.responseTxn?.responses[0]?.responsePut?.header).toEqual(ResponseHeader.create({ revision: 9 }));
});

interface Op {
  readonly parts: OpParts;
  readonly plain: ResponseOp;
}

/** Operations as the splicer takes them and as the plain codec does. */
function anyOps(depth: number): fc.Arbitrary<Op[]> {
  const natural = fc.maxSafeNat();
  const kvs = fc.array(anyKeyValue, { maxLength: 3 });
  const kinds: fc.Arbitrary<Op>[] = [
    fc.tuple(natural, kvs, fc.boolean(), natural).map(([revision, list, more, count]) => ({
      parts: { op: 'range', revision, kvs: encodeAll(list), more, count },
      plain: ResponseOp.create({ responseRange: { header: bare(revision), kvs: list, more, count } }),
    })),
    fc.tuple(natural, fc.option(anyKeyValue, { nil: undefined })).map(([revision, prevKv]) => ({
      parts: { op: 'put', revision, prevKv: prevKv && KeyValue.encode(prevKv) },
      plain: ResponseOp.create({ responsePut: { header: bare(revision), prevKv } }),
    })),
    fc.tuple(natural, natural, kvs).map(([revision, deleted, prevKvs]) => ({
      parts: { op: 'deleteRange', revision, deleted, prevKvs: encodeAll(prevKvs) },
      plain: ResponseOp.create({ responseDeleteRange: { header: bare(revision), deleted, prevKvs } }),
    })),
  ];
  if (depth > 0) {
    kinds.push(
      fc.tuple(natural, fc.boolean(), anyOps(depth - 1)).map(([revision, succeeded, inner]) => ({
        parts: { op: 'txn', revision, succeeded, responses: inner.map((op) => op.parts) },
        plain: ResponseOp.create({
          responseTxn: { header: bare(0), succeeded, responses: inner.map((op) => op.plain) },
        }),
      })),
    );
  }
  return fc.array(fc.oneof(...kinds), { maxLength: 3 });
}

function bare(revision: number): ResponseHeader {
  return ResponseHeader.create({ revision });
}

test('the prefix of a member without identity is empty', () => {
  expect(encodeHeaderPrefix({ clusterId: 0n, memberId: 0n, raftTerm: 0 })).toEqual({
    ids: emptyBytes,
    term: emptyBytes,
    header: ResponseHeader.create(),
  });
});
