import {
  AlarmResponse,
  DowngradeInfo,
  HashKVResponse,
  KeyValue,
  PutResponse,
  ResponseHeader,
  ResponseOp,
  StatusResponse,
  TxnResponse,
} from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { ExitError } from '../exit.ts';
import { fromText } from '../text/bytes.ts';
import { Format } from './formats.ts';

const header = ResponseHeader.create({ clusterId: 10n, memberId: 11n, revision: 5, raftTerm: 2 });
const kv = KeyValue.create({ key: Buffer.from('k\xff', 'latin1'), value: Buffer.from('v'), lease: 2n ** 64n - 1n });
const status = StatusResponse.create({
  header,
  version: '3.6.1',
  storageVersion: '3.6.0',
  dbSize: 76_000_000,
  dbSizeInUse: 61_500_000,
  dbSizeQuota: 2_147_483_648,
  leader: 11n,
  raftIndex: 8,
  raftTerm: 2,
  raftAppliedIndex: 7,
  errors: ['one', 'two'],
  downgradeInfo: DowngradeInfo.create({ enabled: true, targetVersion: '3.5.0' }),
});

function printed(name: string, print: (format: Format) => void, hex = false): string {
  let text = '';
  const output = {
    out: (more: string) => {
      text += more;
    },
    err: (more: string) => {
      text += `stderr: ${more}`;
    },
  };
  print(new Format(name, output, { hex }));
  return text;
}

describe('status', () => {
  const list = [{ endpoint: 'a:1', status }];

  test("simple has 3.6's columns", () => {
    expect(printed('simple', (format) => format.show('endpointStatus')(list))).toBe(
      'a:1, b, 3.6.1, 3.6.0, 76 MB, 62 MB, 20%, 2.1 GB, true, false, 2, 8, 7, one, two, 3.5.0, true\n',
    );
  });

  test("table has 3.6's columns", () => {
    const lines = printed('table', (format) => format.show('endpointStatus')(list)).split('\n');
    expect(lines[1]).toBe(
      '| ENDPOINT | ID | VERSION | STORAGE VERSION | DB SIZE | IN USE | PERCENTAGE NOT IN USE | QUOTA  | IS LEADER | ' +
        'IS LEARNER | RAFT TERM | RAFT INDEX | RAFT APPLIED INDEX |  ERRORS  | DOWNGRADE TARGET VERSION | DOWNGRADE ENABLED |',
    );
    expect(lines[3]).toContain('|                   20% | 2.1 GB |      true |      false |         2 |          8 |');
  });

  test("fields has 3.6's lines; hex is for ids only", () => {
    expect(printed('fields', (format) => format.show('endpointStatus')(list), true)).toBe(
      [
        '"ClusterID" : a',
        '"MemberID" : b',
        '"Revision" : 5',
        '"RaftTerm" : 2',
        '"Version" : "3.6.1"',
        '"StorageVersion" : "3.6.0"',
        '"DBSize" : 76000000',
        '"DBSizeInUse" : 61500000',
        '"DBSizeQuota" : 2147483648',
        '"Leader" : 11',
        '"IsLearner" : false',
        '"RaftIndex" : 8',
        '"RaftTerm" : 2',
        '"RaftAppliedIndex" : 7',
        '"Errors" : [one two]',
        '"Endpoint" : "a:1"',
        '"DowngradeTargetVersion" : "3.5.0"',
        '"DowngradeEnabled" : true',
        '',
        '',
      ].join('\n'),
    );
  });

  test('an empty database is not divided by', () => {
    const empty = [{ endpoint: 'a:1', status: StatusResponse.create() }];
    expect(printed('simple', (format) => format.show('endpointStatus')(empty))).toContain(', 0 B, 0 B, 0%, 0 B, true,');
  });
});

describe('hashkv', () => {
  const list = [{ endpoint: 'a:1', hash: HashKVResponse.create({ header, hash: 4_000_000_000, hashRevision: 5 }) }];

  test.each([
    ['simple', 'a:1, 4000000000, 5\n'],
    [
      'json',
      '[{"Endpoint":"a:1","HashKV":{"header":{"cluster_id":10,"member_id":11,"revision":5,"raft_term":2},"hash":4000000000,"hash_revision":5}}]\n',
    ],
    [
      'fields',
      '"ClusterID" : 10\n"MemberID" : 11\n"Revision" : 5\n"RaftTerm" : 2\n"Endpoint" : "a:1"\n"Hash" : 4000000000\n"HashRevision" : 5\n\n',
    ],
    [
      'table',
      '+----------+------------+---------------+\n| ENDPOINT |    HASH    | HASH REVISION |\n+----------+------------+---------------+\n' +
        '|      a:1 | 4000000000 |             5 |\n+----------+------------+---------------+\n',
    ],
  ])('in %s', (name, text) => {
    expect(printed(name, (format) => format.show('endpointHashKv')(list))).toBe(text);
  });
});

describe('health', () => {
  const list = [
    { endpoint: 'a:1', healthy: true, tookMs: 1.5, error: '' },
    { endpoint: 'b:1', healthy: false, tookMs: 0.25, error: fromText('<é>') },
  ];

  test('simple says bad news on standard error', () => {
    expect(printed('simple', (format) => format.show('endpointHealth')(list))).toBe(
      'a:1 is healthy: successfully committed proposal: took = 1.5ms\n' +
        fromText('stderr: b:1 is unhealthy: failed to commit proposal: <é>\n'),
    );
  });

  test('json leaves out an error that is none', () => {
    expect(printed('json', (format) => format.show('endpointHealth')(list))).toBe(
      fromText(
        '[{"endpoint":"a:1","health":true,"took":"1.5ms"},' +
          '{"endpoint":"b:1","health":false,"took":"250µs","error":"\\u003cé\\u003e"}]\n',
      ),
    );
  });
});

describe('keys and values', () => {
  test('are printed as the bytes they are', () => {
    const response = PutResponse.create({ header, prevKv: kv });
    expect(printed('simple', (format) => format.show('put')(response))).toBe('OK\nk\xff\nv\n');
    expect(printed('simple', (format) => format.show('put')(response), true)).toBe('OK\n\\x6b\\xff\n\\x76\n');
  });

  test('have their lease in fields signed, and in hex with all its digits', () => {
    const response = PutResponse.create({ header, prevKv: kv });
    expect(printed('fields', (format) => format.show('put')(response))).toContain('"PrevKey" : "k\\xff"\n');
    expect(printed('fields', (format) => format.show('put')(response))).toContain('"PrevLease" : -1\n');
    expect(printed('fields', (format) => format.show('put')(response), true)).toContain(
      '"PrevLease" : ffffffffffffffff\n',
    );
  });

  test('protobuf is the message, with no newline', () => {
    const response = PutResponse.create({ header, prevKv: kv });
    expect(printed('protobuf', (format) => format.show('put')(response))).toBe(
      PutResponse.encode(response).toString('latin1'),
    );
  });
});

test('alarms leave out what is at its default, and name what they can', () => {
  const alarms = [
    { memberID: 7n, alarm: 1 },
    { memberID: 0n, alarm: 2 },
    { memberID: 8n, alarm: 9 },
  ];
  expect(printed('simple', (format) => format.show('alarm')(AlarmResponse.create({ alarms })))).toBe(
    'memberID:7 alarm:NOSPACE \nalarm:CORRUPT \nmemberID:8 alarm:9 \n',
  );
});

test('an answer of an unknown kind inside a transaction is named, not dropped', () => {
  const response = TxnResponse.create({ header, responses: [ResponseOp.create()] });
  expect(printed('simple', (format) => format.show('txn')(response))).toBe('FAILURE\n\nunexpected response\n');
  expect(printed('fields', (format) => format.show('txn')(response))).toContain('"Unknown" : "response"\n');
});

describe('what a format cannot show', () => {
  test.each([
    ['table', 'get'],
    ['table', 'put'],
    ['table', 'txn'],
    ['table', 'alarm'],
    ['protobuf', 'endpointStatus'],
    ['protobuf', 'endpointHealth'],
  ] as const)('%s refuses %s', (name, kind) => {
    const refusal = expect(() => printed(name, (format) => format.show(kind)));
    refusal.toThrow(new ExitError(4, `${name} not supported as output format`));
  });

  test.each(['', 'yaml', 'constructor', 'toString'])('there is no format %j', (name) => {
    expect(() => printed(name, () => {})).toThrow(new ExitError(4, 'unsupported output format'));
  });
});
