import { TxnRequest } from '@quorate/proto';
import { expect, test } from 'vitest';
import { compare, op } from './txn.ts';

test('comparisons set the one field of their target', () => {
  expect(compare.version('k', '=', 1)).toMatchObject({ target: 0, result: 0, version: 1, value: undefined });
  expect(compare.createRevision('k', '>', 2)).toMatchObject({ target: 1, result: 1, createRevision: 2 });
  expect(compare.modRevision('k', '<', 3)).toMatchObject({ target: 2, result: 2, modRevision: 3 });
  expect(compare.value('k', '!=', 'v')).toMatchObject({ target: 3, result: 3, value: Buffer.from('v') });
  expect(compare.lease('k', '=', 4n)).toMatchObject({ target: 4, lease: 4n, key: Buffer.from('k') });
});

test('comparing with zero is sent, not left out', () => {
  const sent = TxnRequest.decode(TxnRequest.encode(TxnRequest.create({ compare: [compare.version('k', '=', 0)] })));
  expect(sent.compare[0]!.version).toBe(0);
});

test('operations carry their request, transactions nest', () => {
  const nested = op.txn({ success: [op.delete('a', { prefix: true, prevKv: true })], failure: [op.get('b')] });
  const sent = TxnRequest.decode(TxnRequest.encode(TxnRequest.create({ success: [op.put('k', 'v'), nested] })));
  expect(sent.success[0]!.requestPut).toMatchObject({ key: Buffer.from('k'), value: Buffer.from('v') });
  expect(sent.success[1]!.requestTxn!.success[0]!.requestDeleteRange).toMatchObject({ prevKv: true });
  expect(sent.success[1]!.requestTxn!.failure[0]!.requestRange!.key).toEqual(Buffer.from('b'));
});
