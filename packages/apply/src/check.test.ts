import {
  Compare,
  DeleteRangeRequest,
  KvError,
  type KvErrorCode,
  nestingMax,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkDeleteRangeRequest,
  checkPutRequest,
  checkRangeRequest,
  checkTxnRequest,
  isReadonlyTxn,
  isSerializableTxn,
  txnDepthMax,
} from './check.ts';
import { txnRequests } from './testing/arbitraries.ts';
import { bytes, del, get, nestedTxn, op, put, txn } from './testing/requests.ts';

/** The code of the refusal, or 'ok'. Anything else that is thrown fails the test. */
function verdict(check: () => void): KvErrorCode | 'ok' {
  try {
    check();
    return 'ok';
  } catch (error) {
    if (error instanceof KvError) return error.code;
    throw error;
  }
}

const txnVerdict = (request: TxnRequest, opsMax = 128): string => verdict(() => checkTxnRequest(request, opsMax));
const empty = Buffer.alloc(0);

describe('ranges, puts and deletes', () => {
  test.each([
    ['a key', get('a'), 'ok'],
    ['no key', get(''), 'emptyKey'],
    ['a sort order beyond the enumeration', get('a', '', { sortOrder: 3 }), 'invalidSortOption'],
    ['a negative sort order', get('a', '', { sortOrder: -1 }), 'invalidSortOption'],
    ['a sort target beyond the enumeration', get('a', '', { sortTarget: 5 }), 'invalidSortOption'],
    ['both faults: the key is named first', get('', '', { sortTarget: 5 }), 'emptyKey'],
    ['a future revision is for the store to judge', get('a', '', { revision: 1e9 }), 'ok'],
  ])('a range with %s', (_name, request, expected) => {
    expect(verdict(() => checkRangeRequest(request))).toBe(expected);
  });

  test.each([
    ['a key and a value', put('a', 'v'), 'ok'],
    ['an empty value', put('a'), 'ok'],
    ['no key', put('', 'v'), 'emptyKey'],
    ['a value although it is to be kept', put('a', 'v', { ignoreValue: true }), 'valueProvided'],
    ['a lease although it is to be kept', put('a', '', { lease: 7n, ignoreLease: true }), 'leaseProvided'],
    ['a lease and the value to be kept', put('a', '', { lease: 7n, ignoreValue: true }), 'ok'],
    ['all faults: the key is named first', put('', 'v', { ignoreValue: true }), 'emptyKey'],
    [
      'two faults: the value is named first',
      put('a', 'v', { lease: 7n, ignoreValue: true, ignoreLease: true }),
      'valueProvided',
    ],
  ])('a put with %s', (_name, request, expected) => {
    expect(verdict(() => checkPutRequest(request))).toBe(expected);
  });

  test('a delete needs a key', () => {
    expect(verdict(() => checkDeleteRangeRequest(del('')))).toBe('emptyKey');
    expect(verdict(() => checkDeleteRangeRequest(del('a', '\0')))).toBe('ok');
  });
});

describe('transactions', () => {
  const many = (count: number): RequestOp[] => Array.from({ length: count }, (_, i) => op.put(`k${i}`));

  test('conditions and each branch may have as many operations as allowed, not more', () => {
    expect(txnVerdict(txn(...many(128)))).toBe('ok');
    expect(txnVerdict(txn(...many(129)))).toBe('tooManyOps');
    expect(txnVerdict(TxnRequest.create({ success: many(128), failure: many(128) }))).toBe('ok');
    expect(txnVerdict(TxnRequest.create({ failure: many(129) }))).toBe('tooManyOps');
    const compare = Array.from({ length: 129 }, () => Compare.create({ key: bytes('a') }));
    expect(txnVerdict(TxnRequest.create({ compare }))).toBe('tooManyOps');
  });

  test('a nested transaction has what the one around it left over', () => {
    expect(txnVerdict(txn(op.txn(many(3)), op.get('x')), 5)).toBe('ok');
    expect(txnVerdict(txn(op.txn(many(4)), op.get('x')), 5)).toBe('tooManyOps');
  });

  test.each([
    ['an operation that is none', txn(RequestOp.create()), 'keyNotFound'],
    ['a range without a key', txn(op.get('')), 'emptyKey'],
    [
      'a bad sort order in the branch not taken',
      TxnRequest.create({ failure: [op.get('a', '', { sortOrder: 9 })] }),
      'invalidSortOption',
    ],
    ['a put with a value it must not have', txn(op.put('a', 'v', { ignoreValue: true })), 'valueProvided'],
    ['a delete without a key, nested', txn(op.txn([op.del('')])), 'emptyKey'],
    ['a condition without a key', TxnRequest.create({ compare: [Compare.create()] }), 'emptyKey'],
    ['nothing at all', txn(), 'ok'],
  ])('%s', (_name, request, expected) => {
    expect(txnVerdict(request)).toBe(expected);
  });

  // Each line was tried on etcd 3.5.30 (B49).
  test.each<[string, RequestOp[], string]>([
    ['put, put of one key', [op.put('a'), op.put('a')], 'duplicateKey'],
    ['put, put of two keys', [op.put('a'), op.put('b')], 'ok'],
    ['delete, put of one key', [op.del('a'), op.put('a')], 'duplicateKey'],
    ['put, delete of one key', [op.put('a'), op.del('a')], 'duplicateKey'],
    ['a put inside a deleted range', [op.del('a', 'c'), op.put('b')], 'duplicateKey'],
    ['a put at the end of a deleted range', [op.del('a', 'b'), op.put('b')], 'ok'],
    ['overlapping deletes', [op.del('a', 'c'), op.del('b', 'd'), op.del('b')], 'ok'],
    ['a put beside a delete without end', [op.del('a', '\0'), op.put('b')], 'ok'],
    ['a put beside an empty range deleted', [op.del('c', 'a'), op.put('b')], 'ok'],
    ['two nested puts of one key', [op.txn([op.put('a')]), op.txn([op.put('a')])], 'duplicateKey'],
    ['a nested put and a put of one key', [op.txn([op.put('a')]), op.put('a')], 'duplicateKey'],
    ['one key put in both branches', [op.txn([op.put('a')], [op.put('a')])], 'ok'],
    ['one key put in both branches and beside', [op.txn([op.put('a')], [op.put('a')]), op.put('a')], 'duplicateKey'],
    ['a key put in one branch and beside', [op.put('a'), op.txn([], [op.put('a')])], 'duplicateKey'],
    ['a nested put, then a nested delete', [op.txn([op.put('a')]), op.txn([op.del('a')])], 'ok'],
    ['a nested delete, then a nested put', [op.txn([op.del('a')]), op.txn([op.put('a')])], 'duplicateKey'],
    [
      'a delete in either nested branch, then a nested put',
      [op.txn([], [op.del('a')]), op.txn([op.put('a')])],
      'duplicateKey',
    ],
    ['put and delete in branches of one', [op.txn([op.del('a')], [op.put('a')])], 'ok'],
    ['a nested put beside a delete, in whatever order', [op.txn([op.put('a')]), op.del('a')], 'duplicateKey'],
    ['a put beside a nested delete', [op.put('a'), op.txn([op.del('a')])], 'duplicateKey'],
    ['three levels down', [op.txn([op.txn([op.txn([op.put('a')])])]), op.put('a')], 'duplicateKey'],
    ['a put twice inside one nested transaction', [op.txn([op.put('a'), op.put('a')])], 'duplicateKey'],
  ])('%s', (_name, ops, expected) => {
    expect(txnVerdict(txn(...ops))).toBe(expected);
    expect(txnVerdict(TxnRequest.create({ failure: ops }))).toBe(expected);
    expect(txnVerdict(txn(op.txn(ops)))).toBe(expected);
  });

  test('success and failure do not meet each other', () => {
    expect(txnVerdict(TxnRequest.create({ success: [op.put('a')], failure: [op.del('a'), op.get('a')] }))).toBe('ok');
  });

  test('nesting deeper than the limit is refused however large the budget is, without using up the stack', () => {
    const leaf = op.put('a');
    expect(txnVerdict(nestedTxn(txnDepthMax, leaf))).toBe('ok');
    for (const depth of [txnDepthMax + 1, 100, 5_000]) {
      expect(txnVerdict(nestedTxn(depth, leaf), Number.MAX_SAFE_INTEGER)).toBe('tooManyOps');
    }
  });

  test('the deepest transaction allowed survives the way through the log and back', () => {
    // Two messages per level, one for the operation inside, one for the envelope.
    expect(2 * txnDepthMax + 2).toBeLessThan(nestingMax);
  });
});

test('checks throw nothing but refusals, whatever was decoded', () => {
  const codecs = [
    { decode: RangeRequest.decode, check: checkRangeRequest },
    { decode: PutRequest.decode, check: checkPutRequest },
    { decode: DeleteRangeRequest.decode, check: checkDeleteRangeRequest },
    { decode: TxnRequest.decode, check: (request: TxnRequest) => checkTxnRequest(request, 128) },
  ] as const;
  // Bytes that mostly decode: a valid transaction with some of them changed, read as each of the messages.
  const damaged = fc.tuple(
    txnRequests,
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
  );
  fc.assert(
    fc.property(damaged, ([request, changes]) => {
      const encoded = TxnRequest.encode(request);
      for (const [at, byte] of changes) if (encoded.length > 0) encoded[at % encoded.length] = byte;
      for (const { decode, check } of codecs) {
        let message: ReturnType<typeof decode>;
        try {
          message = decode(encoded);
        } catch {
          continue; // Undecodable input is the decoder's affair.
        }
        verdict(() => check(message as never));
      }
    }),
    { numRuns: 2000 },
  );
});

test('only a transaction of ranges alone reads only', () => {
  const cases: [TxnRequest, boolean][] = [
    [txn(), true],
    [txn(op.get('a')), true],
    [TxnRequest.create({ success: [op.get('a')], failure: [op.put('a')] }), false],
    [txn(op.txn([op.get('a')])), false],
    [txn(op.del('a')), false],
  ];
  for (const [request, readonly] of cases) expect(isReadonlyTxn(request)).toBe(readonly);
});

test('only a transaction whose ranges all ask for it is serializable', () => {
  const serializable = op.get('a', '', { serializable: true });
  expect(isSerializableTxn(txn())).toBe(true);
  expect(isSerializableTxn(txn(serializable, serializable))).toBe(true);
  expect(isSerializableTxn(txn(serializable, op.get('a')))).toBe(false);
  expect(isSerializableTxn(TxnRequest.create({ success: [serializable], failure: [op.get('a')] }))).toBe(false);
  expect(isSerializableTxn(txn(op.put('a', '', { value: empty })))).toBe(false);
});
