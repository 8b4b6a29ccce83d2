/**
 * Every answer besides success. Status and text are wire contract: clients of etcd compare texts, so they are exact to the
 * byte. Domain code throws `new KvError('compacted')`; the server turns it into a status in one place; clients turn a text
 * back into a code with {@link kvErrorCodeOf}.
 *
 * Two answers differ from etcd's wire on purpose: tooManyRequests and notEnoughStarted leave etcd as UNKNOWN because its map
 * holds their client-side form, which carries no status; here they carry the status etcd declares for them.
 */
import { Status, type StatusCode } from './status.ts';

/** Texts by status. Reading this is reading the table in etcd's api/v3rpc/rpctypes, and the unmapped texts below it. */
const texts = {
  INVALID_ARGUMENT: {
    emptyKey: 'etcdserver: key is not provided',
    keyNotFound: 'etcdserver: key not found',
    valueProvided: 'etcdserver: value is provided',
    leaseProvided: 'etcdserver: lease is provided',
    tooManyOps: 'etcdserver: too many operations in txn request',
    duplicateKey: 'etcdserver: duplicate key given in txn request',
    invalidClientApiVersion: 'etcdserver: invalid client api version',
    invalidSortOption: 'etcdserver: invalid sort option',
    memberBadUrls: 'etcdserver: given member URLs are invalid',
    requestTooLarge: 'etcdserver: request is too large',
    userEmpty: 'etcdserver: user name is empty',
    roleEmpty: 'etcdserver: role name is empty',
    authFailed: 'etcdserver: authentication failed, invalid user ID or password',
    permissionNotGiven: 'etcdserver: permission not given',
    invalidAuthManagement: 'etcdserver: invalid auth management',
    authOldRevision: 'etcdserver: revision of auth store is old',
    wrongDowngradeVersionFormat: 'etcdserver: wrong downgrade target version format',
    invalidDowngradeTargetVersion: 'etcdserver: invalid downgrade target version',
  },
  OUT_OF_RANGE: {
    compacted: 'etcdserver: mvcc: required revision has been compacted',
    futureRev: 'etcdserver: mvcc: required revision is a future revision',
    leaseTtlTooLarge: 'etcdserver: too large lease TTL',
  },
  RESOURCE_EXHAUSTED: {
    noSpace: 'etcdserver: mvcc: database space exceeded',
    tooManyRequests: 'etcdserver: too many requests',
  },
  NOT_FOUND: {
    leaseNotFound: 'etcdserver: requested lease not found',
    memberNotFound: 'etcdserver: member not found',
    // The text of the gRPC health library.
    unknownHealthService: 'unknown service',
  },
  FAILED_PRECONDITION: {
    leaseExist: 'etcdserver: lease already exists',
    memberExist: 'etcdserver: member ID already exist',
    peerUrlExist: 'etcdserver: Peer URLs already exists',
    notEnoughStarted: 'etcdserver: re-configuration failed due to not enough started members',
    memberNotLearner: 'etcdserver: can only promote a learner member',
    learnerNotReady: 'etcdserver: can only promote a learner member which is in sync with leader',
    tooManyLearners: 'etcdserver: too many learner members in cluster',
    clusterIdMismatch: 'etcdserver: cluster ID mismatch',
    rootUserNotExist: 'etcdserver: root user does not exist',
    rootRoleNotExist: 'etcdserver: root user does not have root role',
    userAlreadyExist: 'etcdserver: user name already exists',
    userNotFound: 'etcdserver: user name not found',
    roleAlreadyExist: 'etcdserver: role name already exists',
    roleNotFound: 'etcdserver: role name not found',
    roleNotGranted: 'etcdserver: role is not granted to the user',
    permissionNotGranted: 'etcdserver: permission is not granted to the role',
    authNotEnabled: 'etcdserver: authentication is not enabled',
    notLeader: 'etcdserver: not leader',
    notCapable: 'etcdserver: not capable',
    learner: 'etcdserver: rpc not supported for learner',
    badLeaderTransferee: 'etcdserver: bad leader transferee',
    clusterVersionUnavailable: 'etcdserver: cluster version not found during downgrade',
    downgradeInProcess: 'etcdserver: cluster has a downgrade job in progress',
    noInflightDowngrade: 'etcdserver: no inflight downgrade job',
  },
  PERMISSION_DENIED: {
    permissionDenied: 'etcdserver: permission denied',
  },
  UNAUTHENTICATED: {
    invalidAuthToken: 'etcdserver: invalid auth token',
  },
  CANCELLED: {
    watchCanceled: 'etcdserver: watch canceled',
    requestCanceled: 'etcdserver: request canceled',
  },
  DEADLINE_EXCEEDED: {
    deadlineExceeded: 'etcdserver: context deadline exceeded',
  },
  UNAVAILABLE: {
    noLeader: 'etcdserver: no leader',
    leaderChanged: 'etcdserver: leader changed',
    stopped: 'etcdserver: server stopped',
    timeout: 'etcdserver: request timed out',
    timeoutLeaderFail: 'etcdserver: request timed out, possibly due to previous leader failure',
    timeoutConnectionLost: 'etcdserver: request timed out, possibly due to connection lost',
    timeoutWaitAppliedIndex: 'etcdserver: request timed out, waiting for the applied index took too long',
    unhealthy: 'etcdserver: unhealthy cluster',
  },
  DATA_LOSS: {
    corrupt: 'etcdserver: corrupt cluster',
  },
  // Texts that reach clients of etcd without a status of their own.
  UNKNOWN: {
    requestCancelled: 'etcdserver: request cancelled',
    unknownMethod: 'etcdserver: unknown method',
    timeoutLeaderTransfer: 'etcdserver: request timed out, leader transfer took too long',
    proposalDropped: 'raft proposal dropped',
    notPrimaryLessor: 'not a primary lessor',
    noPasswordUser: 'auth: authentication failed, password was given for no password user',
    verifyOnlyKey: 'auth: token signing attempted with verify-only key',
    missingLeaderKey: '"leader" field must be provided',
    electionNoLeader: 'election: no leader',
    electionNotLeader: 'election: not leader',
  },
} as const;

type Texts = typeof texts;

/** Names of the answers, as domain code says them. */
export type KvErrorCode = { [S in keyof Texts]: keyof Texts[S] }[keyof Texts];

/** What an answer is on the wire. */
export interface KvErrorSpec {
  readonly status: StatusCode;
  readonly message: string;
}

/** Code to status and exact text. */
export const kvErrors: Readonly<Record<KvErrorCode, KvErrorSpec>> = buildTable();

const codesByText: ReadonlyMap<string, KvErrorCode> = new Map(
  Object.entries(kvErrors).map(([code, spec]) => [spec.message, code as KvErrorCode]),
);

/** The code behind a text that came from a server, whatever its status; undefined when it is none of etcd's texts. */
export function kvErrorCodeOf(message: string): KvErrorCode | undefined {
  return codesByText.get(message);
}

/** An answer besides success. Carries no stack: it is part of the protocol, not a fault, and may be thrown per request. */
export class KvError extends Error {
  readonly code: KvErrorCode;
  readonly status: StatusCode;

  constructor(code: KvErrorCode, options?: ErrorOptions) {
    const spec = kvErrors[code];
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(spec.message, options);
    Error.stackTraceLimit = limit;
    this.name = 'KvError';
    this.code = code;
    this.status = spec.status;
  }
}

/** The texts a watch is cancelled with in its own response (`cancel_reason`), where they are not an error's text. */
export const watchCancelReasons = {
  emptyRange: 'mvcc: watcher range is empty',
  duplicateId: 'mvcc: duplicate watch ID provided on the WatchStream',
} as const;

function buildTable(): Readonly<Record<KvErrorCode, KvErrorSpec>> {
  const table: Record<string, KvErrorSpec> = {};
  for (const [name, group] of Object.entries(texts)) {
    const status = Status[name as keyof Texts];
    for (const [code, message] of Object.entries(group)) table[code] = { status, message };
  }
  return table as Record<KvErrorCode, KvErrorSpec>;
}
