import {
  AlarmResponse,
  KeyValue,
  Member,
  MemberListResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  StatusResponse,
  TxnResponse,
} from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toText } from '../text/bytes.ts';
import { jsonPrinter, messageJson, stringJson } from './json.ts';

const header = ResponseHeader.create({ clusterId: 2n ** 64n - 1n, memberId: 2n ** 53n + 1n, revision: 5, raftTerm: 2 });

describe('messageJson', () => {
  test('ids are exact, defaults are left out, bytes are base64', () => {
    const kv = KeyValue.create({ key: Buffer.from([0xff]), modRevision: 4, lease: 7n });
    expect(messageJson(RangeResponse, RangeResponse.create({ header, kvs: [kv], count: 1 }))).toBe(
      '{"header":{"cluster_id":18446744073709551615,"member_id":9007199254740993,"revision":5,"raft_term":2},' +
        '"kvs":[{"key":"/w==","mod_revision":4,"lease":7}],"count":1}',
    );
  });

  test('leases are signed as on the wire', () => {
    expect(messageJson(KeyValue, KeyValue.create({ lease: 2n ** 64n - 1n }))).toBe('{"lease":-1}');
  });

  test('an empty message is an empty object, a present one too', () => {
    expect(messageJson(RangeResponse, RangeResponse.create())).toBe('{}');
    expect(messageJson(RangeResponse, RangeResponse.create({ header: ResponseHeader.create() }))).toBe('{"header":{}}');
  });

  test('a oneof is an object under its capitalised name', () => {
    const set = ResponseOp.create({ responseRange: RangeResponse.create() });
    const response = TxnResponse.create({ succeeded: true, responses: [set, ResponseOp.create()] });
    expect(messageJson(TxnResponse, response)).toBe(
      '{"succeeded":true,"responses":[{"Response":{"response_range":{}}},{"Response":null}]}',
    );
  });

  test('enums are numbers', () => {
    const response = AlarmResponse.create({ alarms: [{ memberID: 9n, alarm: 1 }] });
    expect(messageJson(AlarmResponse, response)).toBe('{"alarms":[{"memberID":9,"alarm":1}]}');
  });

  test('names are those of the .proto files', () => {
    const status = StatusResponse.create({
      dbSize: 1,
      raftIndex: 2,
      errors: ['x'],
      isLearner: true,
      storageVersion: '3.6.0',
    });
    expect(messageJson(StatusResponse, status)).toBe(
      '{"dbSize":1,"raftIndex":2,"errors":["x"],"isLearner":true,"storageVersion":"3.6.0"}',
    );
  });
});

describe('stringJson', () => {
  test('is safe inside HTML, as Go makes it', () => {
    expect(stringJson('<a href="x">&\u2028')).toBe('"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028"');
  });

  test('is JSON in UTF-8 for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(JSON.parse(toText(stringJson(text)))).toBe(text);
      }),
    );
  });
});

test('a list of members in hex has its ids first', () => {
  const printed: string[] = [];
  const output = { out: (text: string) => printed.push(text), err: () => {} };
  const member = Member.create({ id: 255n, name: 'a', peerURLs: ['p'], isLearner: true });
  jsonPrinter(output, { hex: true }).memberList!(MemberListResponse.create({ header, members: [member] }));
  expect(printed.join('')).toBe(
    '{"header":{"cluster_id":"ffffffffffffffff","member_id":"20000000000001","revision":5,"raft_term":2},' +
      '"members":[{"ID":"ff","name":"a","peerURLs":["p"],"isLearner":true}]}\n',
  );
});
