import { leaseService, Status } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { FakeWorld } from './testing/fake-io.ts';

const { leaseGrant, leaseRevoke, leaseTimeToLive, leaseLeases } = leaseService.methods;
const header = { clusterId: 1n, memberId: 2n, revision: 3, raftTerm: 4 };
const id = 0x1234n;
const negative = 2n ** 64n - 1n;

function world(): FakeWorld {
  return new FakeWorld()
    .answer(leaseGrant, { header, id, ttl: 600 })
    .answer(leaseRevoke, { header })
    .answer(leaseTimeToLive, { header, id, ttl: 599, grantedTTL: 600, keys: [Buffer.from('a'), Buffer.from('b"c')] })
    .answer(leaseLeases, { header, leases: [{ id }, { id: negative }] });
}

const headerFields = '"ClusterID" : 1\n"MemberID" : 2\n"Revision" : 3\n"RaftTerm" : 4\n';
const headerJson = '"cluster_id":1,"member_id":2,"revision":3,"raft_term":4';
/** The header and nothing else, which is what etcdctl writes. */
const headerBytes = '\x08\x01\x10\x02\x18\x03\x20\x04';

describe('leases are shown', () => {
  test.each([
    ['lease grant 600', 'lease 0000000000001234 granted with TTL(600s)\n'],
    ['lease grant 600 -w json', `{${headerJson},"ID":4660,"TTL":600,"Error":""}\n`],
    ['lease grant 600 -w fields', `${headerFields}"ID" : 4660\n"TTL" : 600\n`],
    ['lease grant 600 -w protobuf', headerBytes],
    ['lease revoke 1234', 'lease 0000000000001234 revoked\n'],
    ['lease revoke 1234 -w json', `{"header":{${headerJson}}}\n`],
    ['lease revoke 1234 -w fields', headerFields],
    ['lease revoke 1234 -w protobuf', `\x0a\x08${headerBytes}`],
    ['lease timetolive 1234', 'lease 0000000000001234 granted with TTL(600s), remaining(599s)\n'],
    [
      'lease timetolive 1234 --keys',
      'lease 0000000000001234 granted with TTL(600s), remaining(599s), attached keys([a b"c])\n',
    ],
    [
      'lease timetolive 1234 --keys -w json',
      `{${headerJson},"id":4660,"ttl":599,"granted-ttl":600,"keys":["YQ==","YiJj"]}\n`,
    ],
    [
      'lease timetolive 1234 --keys -w fields --hex',
      '"ClusterID" : 1\n"MemberID" : 2\n"Revision" : 3\n"RaftTerm" : 4\n' +
        '"ID" : 1234\n"TTL" : 599\n"GrantedTTL" : 600\n"Key" : "a"\n"Key" : "b\\"c"\n',
    ],
    ['lease list', 'found 2 leases\n0000000000001234\n-000000000000001\n'],
    ['lease list -w json', `{${headerJson},"leases":[{"id":4660},{"id":-1}]}\n`],
    ['lease list -w fields', `${headerFields}"ID" : 4660\n"ID" : -1\n`],
    ['lease list -w protobuf', headerBytes],
  ])('%s', async (line, stdout) => {
    expect(await world().run(line)).toMatchObject({ code: 0, stdout, stderr: '' });
  });

  test('one that does not exist has already expired', async () => {
    const gone = world().answer(leaseTimeToLive, { header, id, ttl: -1 });
    expect(await gone.run('lease timetolive 1234 --keys')).toMatchObject({
      code: 0,
      stdout: 'lease 0000000000001234 already expired\n',
    });
    expect(await gone.run('lease timetolive 1234 -w json')).toMatchObject({
      stdout: `{${headerJson},"id":4660,"ttl":-1,"granted-ttl":0,"keys":null}\n`,
    });
  });

  test('none at all', async () => {
    const none = new FakeWorld().answer(leaseLeases, {});
    expect(await none.run('lease list')).toMatchObject({ stdout: 'found 0 leases\n' });
    expect(await none.run('lease list -w json')).toMatchObject({ stdout: '{"leases":[]}\n' });
  });
});

test('an id is hexadecimal, a TTL decimal', async () => {
  const { asked } = await world().run('lease timetolive -- -1');
  expect(leaseTimeToLive.request.decode(asked[0]!.request)).toEqual({ id: negative, keys: false });
  const grant = await world().run('lease grant 0012');
  expect(leaseGrant.request.decode(grant.asked[0]!.request)).toEqual({ id: 0n, ttl: 12 });
});

test.each([
  ['lease grant', 128, 'lease grant command needs TTL argument'],
  ['lease grant 1 2', 128, 'lease grant command needs TTL argument'],
  ['lease grant x', 128, 'bad TTL (strconv.ParseInt: parsing "x": invalid syntax)'],
  ['lease revoke', 128, 'lease revoke command needs 1 argument'],
  ['lease revoke xyz', 128, 'bad lease ID arg (strconv.ParseInt: parsing "xyz": invalid syntax), expecting ID in Hex'],
  ['lease timetolive', 128, 'lease timetolive command needs lease ID as argument'],
  ['lease grant 1 -w table', 4, 'table not supported as output format'],
])('%s is refused before anything is asked', async (line, code, message) => {
  expect(await world().run(line)).toMatchObject({ code, stderr: `Error: ${message}\n`, asked: [] });
});

test.each([
  ['lease grant 1', 1, 'failed to grant lease (etcdserver: requested lease not found)'],
  ['lease revoke 1', 1, 'failed to revoke lease (etcdserver: requested lease not found)'],
  ['lease timetolive 1', 2, 'etcdserver: requested lease not found'],
  ['lease list', 2, 'etcdserver: requested lease not found'],
])('a refusal of %s ends with the code of etcdctl', async (line, code, message) => {
  const refusing = new FakeWorld();
  for (const method of [leaseGrant, leaseRevoke, leaseTimeToLive, leaseLeases]) {
    refusing.refuse(method, Status.NOT_FOUND, 'etcdserver: requested lease not found');
  }
  expect(await refusing.run(line)).toMatchObject({ code, stdout: '', stderr: `Error: ${message}\n` });
});
