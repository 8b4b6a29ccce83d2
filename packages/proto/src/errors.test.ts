import { describe, expect, test } from 'vitest';
import {
  formatRpcError,
  KvError,
  type KvErrorCode,
  kvErrorCodeOf,
  kvErrors,
  Status,
  watchCancelReasons,
} from './index.ts';

/** What etcd sends: gRPC status and text, as its clients compare them. */
const expected: readonly (readonly [KvErrorCode, number, string])[] = [
  ['emptyKey', 3, 'etcdserver: key is not provided'],
  ['keyNotFound', 3, 'etcdserver: key not found'],
  ['valueProvided', 3, 'etcdserver: value is provided'],
  ['leaseProvided', 3, 'etcdserver: lease is provided'],
  ['tooManyOps', 3, 'etcdserver: too many operations in txn request'],
  ['duplicateKey', 3, 'etcdserver: duplicate key given in txn request'],
  ['invalidClientApiVersion', 3, 'etcdserver: invalid client api version'],
  ['invalidSortOption', 3, 'etcdserver: invalid sort option'],
  ['memberBadUrls', 3, 'etcdserver: given member URLs are invalid'],
  ['requestTooLarge', 3, 'etcdserver: request is too large'],
  ['userEmpty', 3, 'etcdserver: user name is empty'],
  ['roleEmpty', 3, 'etcdserver: role name is empty'],
  ['authFailed', 3, 'etcdserver: authentication failed, invalid user ID or password'],
  ['permissionNotGiven', 3, 'etcdserver: permission not given'],
  ['invalidAuthManagement', 3, 'etcdserver: invalid auth management'],
  ['authOldRevision', 3, 'etcdserver: revision of auth store is old'],
  ['wrongDowngradeVersionFormat', 3, 'etcdserver: wrong downgrade target version format'],
  ['invalidDowngradeTargetVersion', 3, 'etcdserver: invalid downgrade target version'],
  ['compacted', 11, 'etcdserver: mvcc: required revision has been compacted'],
  ['futureRev', 11, 'etcdserver: mvcc: required revision is a future revision'],
  ['leaseTtlTooLarge', 11, 'etcdserver: too large lease TTL'],
  ['noSpace', 8, 'etcdserver: mvcc: database space exceeded'],
  ['tooManyRequests', 8, 'etcdserver: too many requests'],
  ['leaseNotFound', 5, 'etcdserver: requested lease not found'],
  ['memberNotFound', 5, 'etcdserver: member not found'],
  ['unknownHealthService', 5, 'unknown service'],
  ['leaseExist', 9, 'etcdserver: lease already exists'],
  ['memberExist', 9, 'etcdserver: member ID already exist'],
  ['peerUrlExist', 9, 'etcdserver: Peer URLs already exists'],
  ['notEnoughStarted', 9, 'etcdserver: re-configuration failed due to not enough started members'],
  ['memberNotLearner', 9, 'etcdserver: can only promote a learner member'],
  ['learnerNotReady', 9, 'etcdserver: can only promote a learner member which is in sync with leader'],
  ['tooManyLearners', 9, 'etcdserver: too many learner members in cluster'],
  ['clusterIdMismatch', 9, 'etcdserver: cluster ID mismatch'],
  ['rootUserNotExist', 9, 'etcdserver: root user does not exist'],
  ['rootRoleNotExist', 9, 'etcdserver: root user does not have root role'],
  ['userAlreadyExist', 9, 'etcdserver: user name already exists'],
  ['userNotFound', 9, 'etcdserver: user name not found'],
  ['roleAlreadyExist', 9, 'etcdserver: role name already exists'],
  ['roleNotFound', 9, 'etcdserver: role name not found'],
  ['roleNotGranted', 9, 'etcdserver: role is not granted to the user'],
  ['permissionNotGranted', 9, 'etcdserver: permission is not granted to the role'],
  ['authNotEnabled', 9, 'etcdserver: authentication is not enabled'],
  ['notLeader', 9, 'etcdserver: not leader'],
  ['notCapable', 9, 'etcdserver: not capable'],
  ['learner', 9, 'etcdserver: rpc not supported for learner'],
  ['badLeaderTransferee', 9, 'etcdserver: bad leader transferee'],
  ['clusterVersionUnavailable', 9, 'etcdserver: cluster version not found during downgrade'],
  ['downgradeInProcess', 9, 'etcdserver: cluster has a downgrade job in progress'],
  ['noInflightDowngrade', 9, 'etcdserver: no inflight downgrade job'],
  ['permissionDenied', 7, 'etcdserver: permission denied'],
  ['invalidAuthToken', 16, 'etcdserver: invalid auth token'],
  ['watchCanceled', 1, 'etcdserver: watch canceled'],
  ['requestCanceled', 1, 'etcdserver: request canceled'],
  ['deadlineExceeded', 4, 'etcdserver: context deadline exceeded'],
  ['noLeader', 14, 'etcdserver: no leader'],
  ['leaderChanged', 14, 'etcdserver: leader changed'],
  ['stopped', 14, 'etcdserver: server stopped'],
  ['timeout', 14, 'etcdserver: request timed out'],
  ['timeoutLeaderFail', 14, 'etcdserver: request timed out, possibly due to previous leader failure'],
  ['timeoutConnectionLost', 14, 'etcdserver: request timed out, possibly due to connection lost'],
  ['timeoutWaitAppliedIndex', 14, 'etcdserver: request timed out, waiting for the applied index took too long'],
  ['unhealthy', 14, 'etcdserver: unhealthy cluster'],
  ['corrupt', 15, 'etcdserver: corrupt cluster'],
  ['requestCancelled', 2, 'etcdserver: request cancelled'],
  ['unknownMethod', 2, 'etcdserver: unknown method'],
  ['timeoutLeaderTransfer', 2, 'etcdserver: request timed out, leader transfer took too long'],
  ['proposalDropped', 2, 'raft proposal dropped'],
  ['notPrimaryLessor', 2, 'not a primary lessor'],
  ['noPasswordUser', 2, 'auth: authentication failed, password was given for no password user'],
  ['verifyOnlyKey', 2, 'auth: token signing attempted with verify-only key'],
  ['missingLeaderKey', 2, '"leader" field must be provided'],
  ['electionNoLeader', 2, 'election: no leader'],
  ['electionNotLeader', 2, 'election: not leader'],
];

describe('the error table', () => {
  test('holds every text of etcd with its status, and nothing else', () => {
    const table = Object.entries(kvErrors).map(([code, { status, message }]) => [code, status, message]);
    expect(table.sort()).toEqual(expected.map((row) => [...row]).sort());
  });

  test.each(expected)('%s is found again by its text', (code, status, message) => {
    const error = new KvError(code);
    expect(error).toMatchObject({ name: 'KvError', code, status, message });
    expect(kvErrorCodeOf(error.message)).toBe(code);
  });

  test('a text that is not from the table has no code', () => {
    expect(kvErrorCodeOf('etcdserver: something new')).toBeUndefined();
  });
});

describe('KvError', () => {
  test('is an Error without a stack, and leaves the stacks of others alone', () => {
    const error = new KvError('compacted');
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toBe('KvError: etcdserver: mvcc: required revision has been compacted');
    expect(new Error('other').stack).toContain('errors.test.ts');
  });

  test('keeps its cause', () => {
    const cause = new Error('socket closed');
    expect(new KvError('noLeader', { cause }).cause).toBe(cause);
  });
});

test('a status prints as Go prints it, in the texts of cancelled watches', () => {
  const { status, message } = kvErrors.permissionDenied;
  expect(formatRpcError(status, message)).toBe(
    'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
  );
  expect(formatRpcError(Status.UNAUTHENTICATED, 'x')).toBe('rpc error: code = Unauthenticated desc = x');
  expect(formatRpcError(Status.CANCELLED, 'x')).toBe('rpc error: code = Canceled desc = x');
  expect(formatRpcError(99, 'x')).toBe('rpc error: code = Code(99) desc = x');
});

test('the reasons of a watch that never began', () => {
  expect(watchCancelReasons).toEqual({
    emptyRange: 'mvcc: watcher range is empty',
    duplicateId: 'mvcc: duplicate watch ID provided on the WatchStream',
  });
});
