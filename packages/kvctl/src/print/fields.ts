/** The fields format: every field on a line of its own, `"Name" : value`, strings and bytes in Go's quotes. */
import { formatId } from '@quorate/base';
import {
  type DeleteRangeResponse,
  type Event,
  type KeyValue,
  type PutResponse,
  type RangeResponse,
  ResponseHeader,
  type ResponseOp,
  type WatchResponse,
} from '@quorate/proto';
import { type ByteString, fromBytes, fromText } from '../text/bytes.ts';
import { formatDuration } from '../text/duration.ts';
import { quote } from '../text/quote.ts';
import { alarmName } from './alarm-name.ts';
import { eventName } from './event-name.ts';
import type { EndpointStatus, Output, Printer } from './reports.ts';

export function fieldsPrinter(output: Output, { hex }: { hex: boolean }): Printer {
  const text = new FieldsText(hex);
  return {
    get: (response) => output.out(text.get(response)),
    put: (response) => output.out(text.put(response)),
    del: (response) => output.out(text.del(response)),
    txn: ({ header, succeeded, responses }) =>
      output.out(text.header(header) + field('Succeeded', succeeded) + responses.map((op) => text.op(op)).join('')),
    watch: (response) => output.out(text.watch(response)),
    leaseGrant: ({ header, id, ttl }) => output.out(text.header(header) + text.lease(id) + field('TTL', ttl)),
    leaseRevoke: ({ header }) => output.out(text.header(header)),
    leaseTimeToLive: ({ header, id, ttl, grantedTTL, keys }) =>
      output.out(
        text.header(header) +
          text.lease(id) +
          field('TTL', ttl) +
          field('GrantedTTL', grantedTTL) +
          keys.map((key) => field('Key', quote(fromBytes(key)))).join(''),
      ),
    leaseList: ({ header, leases }) =>
      output.out(text.header(header) + leases.map(({ id }) => text.lease(id)).join('')),
    leaseKeepAlive: ({ header, id, ttl }) => output.out(text.header(header) + text.lease(id) + field('TTL', ttl)),
    alarm: ({ header, alarms }) =>
      output.out(
        text.header(header) +
          alarms
            .map(
              ({ memberID, alarm }) =>
                `${field('MemberID', text.id(memberID))}${field('AlarmType', alarmName(alarm))}\n`,
            )
            .join(''),
      ),
    memberList: ({ header, members }) =>
      output.out(
        text.header(header) +
          members
            .map(
              ({ id, name, peerURLs, clientURLs, isLearner }) =>
                `${field('ID', text.id(id)) + quoted('Name', name)}${peerURLs.map((url) => quoted('PeerURL', url)).join('')}` +
                `${clientURLs.map((url) => quoted('ClientURL', url)).join('')}${field('IsLearner', isLearner)}\n`,
            )
            .join(''),
      ),
    endpointHealth: (list) =>
      output.out(
        list
          .map(
            ({ endpoint, healthy, tookMs, error }) =>
              `${quoted('Endpoint', endpoint)}${field('Health', healthy)}${field('Took', formatDuration(tookMs))}${field('Error', error)}\n`,
          )
          .join(''),
      ),
    endpointStatus: (list) => output.out(list.map((item) => text.status(item)).join('')),
    endpointHashKv: (list) =>
      output.out(
        list
          .map(
            ({ endpoint, hash }) =>
              `${text.header(hash.header)}${quoted('Endpoint', endpoint)}${field('Hash', hash.hash)}${field('HashRevision', hash.hashRevision)}\n`,
          )
          .join(''),
      ),
    snapshotStatus: ({ hash, revision, totalKey, totalSize, version }) =>
      output.out(
        `${field('Hash', hash)}${field('Revision', revision)}${field('Keys', totalKey)}${field('Size', totalSize)}${quoted('Version', version)}`,
      ),
  };
}

class FieldsText {
  readonly #hex: boolean;

  constructor(hex: boolean) {
    this.#hex = hex;
  }

  id(id: bigint): string {
    return this.#hex ? formatId(id) : String(id);
  }

  /** Responses that have no store revision (members) print none. */
  header(header: ResponseHeader | undefined): ByteString {
    const { clusterId, memberId, revision, raftTerm } = header ?? ResponseHeader.create();
    return (
      field('ClusterID', this.id(clusterId)) +
      field('MemberID', this.id(memberId)) +
      (revision > 0 ? field('Revision', revision) : '') +
      field('RaftTerm', raftTerm)
    );
  }

  get({ header, kvs, more, count }: RangeResponse): ByteString {
    return (
      this.header(header) +
      kvs.map((kv) => this.#keyValue('', kv)).join('') +
      field('More', more) +
      field('Count', count)
    );
  }

  put({ header, prevKv }: PutResponse): ByteString {
    return this.header(header) + (prevKv === undefined ? '' : this.#keyValue('Prev', prevKv));
  }

  del({ header, deleted, prevKvs }: DeleteRangeResponse): ByteString {
    return this.header(header) + field('Deleted', deleted) + prevKvs.map((kv) => this.#keyValue('Prev', kv)).join('');
  }

  watch({ header, events }: WatchResponse): ByteString {
    return this.header(header) + events.map((event) => this.#event(event)).join('');
  }

  /** A lease's id, which Go takes for a signed number. */
  lease(id: bigint): ByteString {
    return field('ID', this.#hex ? formatId(id) : String(BigInt.asIntN(64, id)));
  }

  op(op: ResponseOp): ByteString {
    if (op.responseRange !== undefined) return this.get(op.responseRange);
    if (op.responsePut !== undefined) return this.put(op.responsePut);
    if (op.responseDeleteRange !== undefined) return this.del(op.responseDeleteRange);
    return quoted('Unknown', 'response');
  }

  status({ endpoint, status }: EndpointStatus): ByteString {
    return `${
      this.header(status.header) +
      quoted('Version', status.version) +
      quoted('StorageVersion', status.storageVersion) +
      field('DBSize', status.dbSize) +
      field('DBSizeInUse', status.dbSizeInUse) +
      field('DBSizeQuota', status.dbSizeQuota) +
      field('Leader', status.leader) +
      field('IsLearner', status.isLearner) +
      field('RaftIndex', status.raftIndex) +
      field('RaftTerm', status.raftTerm) +
      field('RaftAppliedIndex', status.raftAppliedIndex) +
      field('Errors', `[${fromText(status.errors.join(' '))}]`) +
      quoted('Endpoint', endpoint) +
      quoted('DowngradeTargetVersion', status.downgradeInfo?.targetVersion ?? '') +
      field('DowngradeEnabled', status.downgradeInfo?.enabled ?? false)
    }\n`;
  }

  #event({ type, kv, prevKv }: Event): ByteString {
    return [
      field('Type', eventName(type)),
      prevKv === undefined ? '' : this.#keyValue('Prev', prevKv),
      kv === undefined ? '' : this.#keyValue('', kv),
    ].join('');
  }

  #keyValue(prefix: string, { key, createRevision, modRevision, version, value, lease }: KeyValue): ByteString {
    return (
      `"${prefix}Key" : ${quote(fromBytes(key))}\n` +
      field(`${prefix}CreateRevision`, createRevision) +
      field(`${prefix}ModRevision`, modRevision) +
      field(`${prefix}Version`, version) +
      `"${prefix}Value" : ${quote(fromBytes(value))}\n` +
      field(`${prefix}Lease`, this.#hex ? lease.toString(16).padStart(16, '0') : BigInt.asIntN(64, lease))
    );
  }
}

function field(name: string, value: ByteString | number | bigint | boolean): ByteString {
  return `"${name}" : ${value}\n`;
}

/** A field with text from a server, in Go's quotes. */
function quoted(name: string, text: string): ByteString {
  return `"${name}" : ${quote(fromText(text))}\n`;
}
