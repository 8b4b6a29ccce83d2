/**
 * Where the oracle is not asked, or not believed, because it is older than the etcd that is followed (3.6). Each has its line in
 * docs/differences.md.
 */
import { AlarmRequestAlarmAction, AlarmType } from '@quorate/proto';
import type { EtcdInstallation } from '../support/etcd-process.ts';
import type { InnerOp, Operation } from './operations.ts';

/** What this oracle cannot be compared in. */
export interface Rulings {
  /** `Message.field`: fields it does not know yet. */
  readonly unknownFields: ReadonlySet<string>;
  /** The answer to an operation that it must not be asked; undefined when it is asked. */
  answer(operation: Operation): string | undefined;
  /** Whether the deletion at exactly the compact revision is there to be watched and counted in a hash. */
  readonly keepsDeletions: boolean;
  /** Whether nobody is asked, because what it would do goes on to differ. */
  skips(operation: Operation): boolean;
}

const since36 = [
  'HashKVResponse.hash_revision',
  'StatusResponse.storageVersion',
  'StatusResponse.dbSizeQuota',
  'StatusResponse.downgradeInfo',
];

const since35 = ['AlarmResponse.header'];

const sortOrderMax = 2;
const sortTargetMax = 4;

export function rulingsFor({ minor }: EtcdInstallation): Rulings {
  const is36 = minor !== '3.4' && minor !== '3.5';
  return {
    unknownFields: new Set([...(is36 ? [] : since36), ...(minor === '3.4' ? since35 : [])]),
    // Kept from 3.5.16 on.
    keepsDeletions: minor !== '3.4',
    skips: (operation) => minor === '3.4' && isBeyond34(operation),
    answer: (operation) => (!is36 && hasUnknownSort(operation) ? '3 etcdserver: invalid sort option' : undefined),
  };
}

/** etcd before 3.6 ends with a panic when asked to sort by a field that there is not. Another fault in the request comes first. */
function hasUnknownSort(op: Operation | InnerOp): boolean {
  if (op.kind === 'txn') return op.success.some(hasUnknownSort);
  if (op.kind !== 'range' || op.key === '') return false;
  const { sortOrder, sortTarget } = op;
  return sortOrder < 0 || sortOrder > sortOrderMax || sortTarget < 0 || sortTarget > sortTargetMax;
}

/**
 * etcd 3.4 begins a watch at a negative revision, answers requests for progress before the events they are about, raises alarms of
 * no kind, from which it may end with a panic, and has another status for a path that names no method.
 */
function isBeyond34(op: Operation): boolean {
  if (op.kind === 'watch') return op.start.at === 'absolute' && op.start.revision < 0;
  if (op.kind === 'alarm') return op.action !== AlarmRequestAlarmAction.GET && op.alarm === AlarmType.NONE;
  return op.kind === 'progress' || (op.kind === 'unknown method' && op.path === '/nothing');
}
