/**
 * The lists that have columns: the simple format joins them with commas, the table format draws a box. Columns and their order
 * are etcdctl 3.6's.
 */
import { formatId } from '@quorate/base';
import type { Member, StatusResponse } from '@quorate/proto';
import { type ByteString, fromText } from '../text/bytes.ts';
import { formatDuration } from '../text/duration.ts';
import { formatSize } from '../text/size.ts';
import type { EndpointHash, EndpointHealth, EndpointStatus, SnapshotStatus } from './reports.ts';

/** A header and its rows, cells as byte strings. */
export interface Rows {
  readonly header: readonly string[];
  readonly rows: readonly (readonly ByteString[])[];
}

export function memberRows(members: readonly Member[]): Rows {
  return {
    header: ['ID', 'Status', 'Name', 'Peer Addrs', 'Client Addrs', 'Is Learner'],
    rows: members.map((member) => [
      formatId(member.id),
      member.name === '' ? 'unstarted' : 'started',
      fromText(member.name),
      fromText(member.peerURLs.join(',')),
      fromText(member.clientURLs.join(',')),
      String(member.isLearner),
    ]),
  };
}

export function healthRows(list: readonly EndpointHealth[]): Rows {
  return {
    header: ['endpoint', 'health', 'took', 'error'],
    rows: list.map(({ endpoint, healthy, tookMs, error }) => [
      fromText(endpoint),
      String(healthy),
      formatDuration(tookMs),
      error,
    ]),
  };
}

export function statusRows(list: readonly EndpointStatus[]): Rows {
  return {
    header: [
      'endpoint',
      'ID',
      'version',
      'storage version',
      'db size',
      'in use',
      'percentage not in use',
      'quota',
      'is leader',
      'is learner',
      'raft term',
      'raft index',
      'raft applied index',
      'errors',
      'downgrade target version',
      'downgrade enabled',
    ],
    rows: list.map(statusRow),
  };
}

export function hashRows(list: readonly EndpointHash[]): Rows {
  return {
    header: ['endpoint', 'hash', 'hash_revision'],
    rows: list.map(({ endpoint, hash }) => [fromText(endpoint), String(hash.hash), String(hash.hashRevision)]),
  };
}

export function snapshotRows({ hash, revision, totalKey, totalSize, version }: SnapshotStatus): Rows {
  return {
    header: ['hash', 'revision', 'total keys', 'total size', 'storage version'],
    rows: [[hash.toString(16), String(revision), String(totalKey), formatSize(totalSize), fromText(version)]],
  };
}

function statusRow({ endpoint, status }: EndpointStatus): ByteString[] {
  const memberId = status.header?.memberId ?? 0n;
  return [
    fromText(endpoint),
    formatId(memberId),
    fromText(status.version),
    fromText(status.storageVersion),
    formatSize(status.dbSize),
    formatSize(status.dbSizeInUse),
    percentNotInUse(status),
    formatSize(status.dbSizeQuota),
    String(status.leader === memberId),
    String(status.isLearner),
    String(status.raftTerm),
    String(status.raftIndex),
    String(status.raftAppliedIndex),
    fromText(status.errors.join(', ')),
    fromText(status.downgradeInfo?.targetVersion ?? ''),
    String(status.downgradeInfo?.enabled ?? false),
  ];
}

function percentNotInUse({ dbSize, dbSizeInUse }: StatusResponse): string {
  return `${dbSize === 0 ? 0 : 100 - Math.floor((dbSizeInUse * 100) / dbSize)}%`;
}
