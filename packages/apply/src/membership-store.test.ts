import { buckets } from '@quorate/backend';
import { CorruptionError } from '@quorate/base';
import { KvError, type KvErrorCode, Member, MemberAttributesSet, MemberRecord } from '@quorate/proto';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { MembershipChange } from './membership-change.ts';
import { MembershipStore } from './membership-store.ts';
import { TestBackend } from './testing/test-backend.ts';

const record = (id: bigint, more: Partial<MemberRecord> = {}): MemberRecord =>
  MemberRecord.create({ id, peerUrls: [`http://m${id}`], ...more });
const add = (id: bigint, more: Partial<MemberRecord> = {}, learnersMax = 0): MembershipChange => ({
  kind: 'add',
  member: record(id, more),
  learnersMax,
});

let backend: TestBackend;
let members: MembershipStore;

/** Members 1 and 2, learner 3; 4 was removed. */
beforeEach(() => {
  backend = new TestBackend();
  members = MembershipStore.open(backend);
  for (const id of [2n, 1n, 4n]) change(add(id));
  change(add(3n, { isLearner: true }));
  change({ kind: 'remove', id: 4n });
});

function change(one: MembershipChange): void {
  members.check(one);
  members.apply(one);
}

test('members are listed by id, the name of one not started is empty', () => {
  members.setAttributes(MemberAttributesSet.create({ memberId: 1n, name: 'one', clientUrls: ['http://c1'] }));
  expect(members.list()).toEqual([
    Member.create({ id: 1n, name: 'one', peerURLs: ['http://m1'], clientURLs: ['http://c1'] }),
    Member.create({ id: 2n, peerURLs: ['http://m2'] }),
    Member.create({ id: 3n, peerURLs: ['http://m3'], isLearner: true }),
  ]);
  expect(members.get(3n)).toMatchObject({ id: 3n, isLearner: true });
  expect(members.get(4n)).toBeUndefined();
  expect(members.wasRemoved(4n)).toBe(true);
  expect(members.wasRemoved(1n)).toBe(false);
});

describe('changes against the rules', () => {
  test.each<[string, MembershipChange, KvErrorCode]>([
    ['a member twice', add(1n, { peerUrls: ['http://new'] }), 'memberExist'],
    ['one that was removed', add(4n, { peerUrls: ['http://new'] }), 'memberNotFound'],
    ['a peer URL in use', add(5n, { peerUrls: ['http://new', 'http://m2'] }), 'peerUrlExist'],
    ['removing an unknown member', { kind: 'remove', id: 9n }, 'memberNotFound'],
    ['removing a member again', { kind: 'remove', id: 4n }, 'memberNotFound'],
    ['promoting a voter', { kind: 'promote', id: 1n }, 'memberNotLearner'],
    ['promoting an unknown member', { kind: 'promote', id: 9n }, 'memberNotFound'],
    ['URLs for an unknown member', { kind: 'update', id: 9n, peerUrls: [] }, 'memberNotFound'],
    ['a learner too many', add(5n, { isLearner: true }, 1), 'tooManyLearners'],
    ['URLs that another has', { kind: 'update', id: 1n, peerUrls: ['http://m2'] }, 'peerUrlExist'],
  ])('%s', (_name, one, code) => {
    const before = backend.dump();
    expect(() => members.check(one)).toThrow(new KvError(code));
    expect(backend.dump()).toBe(before);
  });
});

test('the last voter cannot be removed, whatever learners there are', () => {
  change({ kind: 'remove', id: 1n });
  expect(() => members.check({ kind: 'remove', id: 2n })).toThrow(new KvError('notEnoughStarted'));
  change({ kind: 'promote', id: 3n });
  change({ kind: 'remove', id: 2n });
  expect(members.list().map((member) => member.id)).toEqual([3n]);
});

test('learners are counted against the limit that comes with the change, voters are not', () => {
  change(add(5n, { isLearner: true }, 2));
  change(add(6n));
  change(add(7n, { isLearner: true }));
  expect(() => members.check(add(8n, { isLearner: true }, 3))).toThrow(new KvError('tooManyLearners'));
});

test('B67: the first data directory a member names stays; another under its id is refused, and none named changes nothing', () => {
  const says = (incarnation: bigint, name: string): void =>
    members.setAttributes(MemberAttributesSet.create({ memberId: 1n, name, incarnation }));
  expect(members.incarnationOf(1n)).toBe(0n);
  says(77n, 'one');
  expect(() => says(78n, 'wiped')).toThrow(new KvError('memberExist'));
  says(0n, 'renamed');
  expect(members.get(1n)?.name).toBe('renamed');
  change({ kind: 'update', id: 1n, peerUrls: ['http://moved'] });
  expect(MembershipStore.open(backend).incarnationOf(1n)).toBe(77n);
});

test('a promoted learner votes, new peer URLs replace the old, its own may be among them', () => {
  change({ kind: 'promote', id: 3n });
  change({ kind: 'update', id: 1n, peerUrls: ['http://m1', 'http://m1b'] });
  expect(members.get(3n)).toMatchObject({ isLearner: false });
  expect(members.get(1n)).toMatchObject({ peerURLs: ['http://m1', 'http://m1b'] });
});

test('the last word of a removed member is passed over, that of an unknown one refused', () => {
  const before = backend.dump();
  members.setAttributes(MemberAttributesSet.create({ memberId: 4n, name: 'late' }));
  expect(() => members.setAttributes(MemberAttributesSet.create({ memberId: 9n }))).toThrow(
    new KvError('memberNotFound'),
  );
  expect(backend.dump()).toBe(before);
});

test('the cluster version is kept', () => {
  expect(members.clusterVersion).toBeUndefined();
  members.setClusterVersion('3.6.0');
  expect(MembershipStore.open(backend).clusterVersion).toBe('3.6.0');
});

test('a downgrade is kept in etcd’s form until it ends', () => {
  expect(members.downgrade).toEqual({ enabled: false, targetVersion: '' });
  members.setDowngrade({ enabled: true, targetVersion: '3.5.0' });
  expect(backend.get(buckets.cluster, 'downgrade')?.toString()).toBe('{"target-version":"3.5.0","enabled":true}');
  expect(MembershipStore.open(backend).downgrade).toEqual({ enabled: true, targetVersion: '3.5.0' });
  members.setDowngrade({ enabled: false, targetVersion: '3.5.0' });
  expect(MembershipStore.open(backend).downgrade).toEqual({ enabled: false, targetVersion: '' });
});

test('a list handed out is the caller’s to change', () => {
  members.list()[0]!.peerURLs.push('http://other');
  expect(members.get(1n)?.peerURLs).toEqual(['http://m1']);
});

test('any history of accepted changes reads back from the backend as it stands in memory', () => {
  const id = fc.bigInt({ min: 1n, max: 5n }).map((small) => (small === 5n ? 2n ** 64n - 1n : small));
  const url = fc.constantFrom('http://a', 'http://b', 'http://c');
  const changes: fc.Arbitrary<MembershipChange> = fc.oneof(
    fc
      .tuple(id, fc.array(url, { maxLength: 1 }), fc.boolean())
      .map(([one, peerUrls, isLearner]) => add(one, { peerUrls, isLearner })),
    id.map((one) => ({ kind: 'promote', id: one }) as const),
    id.map((one) => ({ kind: 'remove', id: one }) as const),
    fc
      .tuple(id, fc.array(url, { maxLength: 2 }))
      .map(([one, peerUrls]) => ({ kind: 'update', id: one, peerUrls }) as const),
  );
  fc.assert(
    fc.property(fc.array(changes), (history) => {
      const kept = new TestBackend();
      const store = MembershipStore.open(kept);
      for (const one of history) {
        try {
          store.check(one);
        } catch {
          continue;
        }
        store.apply(one);
      }
      const reopened = MembershipStore.open(kept);
      expect(reopened.list()).toEqual(store.list());
      const ids = [1n, 2n, 3n, 4n, 2n ** 64n - 1n];
      expect(ids.map((one) => reopened.wasRemoved(one))).toEqual(ids.map((one) => store.wasRemoved(one)));
      const urls = store.list().flatMap((member) => member.peerURLs);
      expect(new Set(urls).size, 'peer URLs in use by one member each').toBe(
        store.list().reduce((sum, member) => sum + new Set(member.peerURLs).size, 0),
      );
    }),
  );
});

test('a row that is no member is corruption', () => {
  backend.put(buckets.members, 'not hex', MemberRecord.encode(record(1n)));
  expect(() => MembershipStore.open(backend)).toThrow(CorruptionError);
});

test('a row that is no downgrade is corruption', () => {
  backend.put(buckets.cluster, 'downgrade', Buffer.from('{"enabled"'));
  expect(() => MembershipStore.open(backend)).toThrow(CorruptionError);
});
