import { encodeHeaderPrefix, PutResponse } from '@quorate/proto';
import { expect, test } from 'vitest';
import { encodeOutcome } from './answer.ts';

const headerPrefix = encodeHeaderPrefix({ clusterId: 0xcafe_f00d_0000_0001n, memberId: 7n, raftTerm: 3 });

test('a put answers with the same message and bytes', () => {
  const applied = encodeOutcome({ op: 'put', revision: 2 ** 40, prevKv: undefined }, headerPrefix);
  expect(applied.message).toEqual(PutResponse.decode(applied.response));
  expect(applied.message).toEqual(
    PutResponse.create({
      header: { clusterId: 0xcafe_f00d_0000_0001n, memberId: 7n, revision: 2 ** 40, raftTerm: 3 },
    }),
  );
});

test('one that brings the version before comes as bytes alone', () => {
  const prevKv = Buffer.from([0x0a, 1, 0x6b]);
  const applied = encodeOutcome({ op: 'put', revision: 5, prevKv }, headerPrefix);
  expect(applied.message).toBeUndefined();
  expect(PutResponse.decode(applied.response).prevKv?.key).toEqual(Buffer.from('k'));
});
