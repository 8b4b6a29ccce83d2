/**
 * The JSON format: what Go's encoding/json makes of etcd's generated structs. Field names and order as in the .proto files,
 * default values left out, bytes in base64, 64-bit numbers as plain digits (ids go beyond what JavaScript's JSON can hold),
 * enums as numbers, a oneof as an object of its own under its capitalised name.
 */
import { formatId } from '@quorate/base';
import {
  AlarmResponse,
  type Codec,
  DeleteRangeResponse,
  DowngradeResponse,
  Event,
  type FieldInfo,
  HashKVResponse,
  LeaseRevokeResponse,
  Member,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  StatusResponse,
  TxnResponse,
  type WatchResponse,
} from '@quorate/proto';
import { type ByteString, fromText, toText } from '../text/bytes.ts';
import { formatDuration } from '../text/duration.ts';
import type { EndpointHealth, Output, Printer } from './reports.ts';

export function jsonPrinter(output: Output, { hex }: { hex: boolean }): Printer {
  const line = (json: ByteString): void => output.out(`${json}\n`);
  return {
    get: (response) => line(messageJson(RangeResponse, response)),
    put: (response) => line(messageJson(PutResponse, response)),
    del: (response) => line(messageJson(DeleteRangeResponse, response)),
    txn: (response) => line(messageJson(TxnResponse, response)),
    watch: (response) => line(watchJson(response)),
    leaseGrant: ({ header, id, ttl }) =>
      line(
        leaseJson(header, [
          ['ID', signed(id)],
          ['TTL', ttl],
          ['Error', '""'],
        ]),
      ),
    leaseRevoke: (response) => line(messageJson(LeaseRevokeResponse, response)),
    leaseTimeToLive: ({ header, id, ttl, grantedTTL, keys }) =>
      line(
        leaseJson(header, [
          ['id', signed(id)],
          ['ttl', ttl],
          ['granted-ttl', grantedTTL],
          ['keys', keysJson(keys)],
        ]),
      ),
    leaseList: ({ header, leases }) =>
      line(leaseJson(header, [['leases', array(leases.map(({ id }) => `{"id":${signed(id)}}`))]])),
    leaseKeepAlive: ({ header, id, ttl }) =>
      line(
        leaseJson(header, [
          ['ID', signed(id)],
          ['TTL', ttl],
        ]),
      ),
    alarm: (response) => line(messageJson(AlarmResponse, response)),
    memberList: (response) => line(hex ? hexMemberList(response) : messageJson(MemberListResponse, response)),
    memberAdd: (response) => line(messageJson(MemberAddResponse, response)),
    memberRemove: (response) => line(messageJson(MemberRemoveResponse, response)),
    memberUpdate: (response) => line(messageJson(MemberUpdateResponse, response)),
    memberPromote: (response) => line(messageJson(MemberPromoteResponse, response)),
    moveLeader: (response) => line(messageJson(MoveLeaderResponse, response)),
    downgrade: (response) => line(messageJson(DowngradeResponse, response)),
    endpointHealth: (list) => line(array(list.map(healthJson))),
    endpointStatus: (list) =>
      line(array(list.map(({ endpoint, status }) => pair(endpoint, 'Status', messageJson(StatusResponse, status))))),
    endpointHashKv: (list) =>
      line(array(list.map(({ endpoint, hash }) => pair(endpoint, 'HashKV', messageJson(HashKVResponse, hash))))),
    verify: ({ notes, problems }) => line(fromText(JSON.stringify({ notes, problems }))),
    snapshotStatus: ({ hash, revision, totalKey, totalSize, version }) =>
      line(JSON.stringify({ hash, revision, totalKey, totalSize, version })),
  };
}

/** One message as Go prints it, in UTF-8 bytes. */
export function messageJson<T>(codec: Codec<T>, message: T): ByteString {
  const values = message as Readonly<Record<string, unknown>>;
  const members: ByteString[] = [];
  const oneofs = new Set<string>();
  for (const field of codec.fields) {
    if (field.oneof === undefined) {
      const json = fieldJson(field, values[field.property]);
      if (json !== undefined) members.push(`"${field.name}":${json}`);
    } else if (!oneofs.has(field.oneof)) {
      oneofs.add(field.oneof);
      members.push(`"${capitalised(field.oneof)}":${oneofJson(codec, field.oneof, values)}`);
    }
  }
  return `{${members.join(',')}}`;
}

/** Text as Go's encoding/json quotes it: safe to embed in HTML. */
export function stringJson(text: string): ByteString {
  const json = JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (char) => `\\u${hex4(char)}`);
  return fromText(json);
}

function oneofJson<T>(codec: Codec<T>, oneof: string, values: Readonly<Record<string, unknown>>): ByteString {
  const set = codec.fields.find((field) => field.oneof === oneof && values[field.property] !== undefined);
  if (set === undefined) return 'null';
  const json = fieldJson(set, values[set.property]);
  return json === undefined ? '{}' : `{"${set.name}":${json}}`;
}

/** Undefined for what Go leaves out. */
function fieldJson(field: FieldInfo, value: unknown): ByteString | undefined {
  if (field.repeated) {
    const list = value as readonly unknown[];
    return list.length === 0 ? undefined : array(list.map((item) => valueJson(field, item)));
  }
  const isDefault = value === undefined || value === '' || value === 0 || value === 0n || value === false;
  const isEmpty = field.kind === 'bytes' && (value as Buffer).length === 0;
  return isDefault || isEmpty ? undefined : valueJson(field, value);
}

function valueJson(field: FieldInfo, value: unknown): ByteString {
  switch (field.kind) {
    case 'message':
      return messageJson(field.message!(), value);
    case 'bytes':
      return `"${(value as Buffer).toString('base64')}"`;
    case 'string':
      return stringJson(value as string);
    case 'int64':
      return typeof value === 'bigint' ? String(BigInt.asIntN(64, value)) : String(value);
    default:
      return String(value);
  }
}

/** Not the message but a struct of etcd's client, printed under the names it has in Go. */
function watchJson({ header, events, compactRevision, canceled, created }: WatchResponse): ByteString {
  const parts = [
    `"Header":${messageJson(ResponseHeader, header ?? ResponseHeader.create())}`,
    `"Events":${array(events.map((event) => messageJson(Event, event)))}`,
    `"CompactRevision":${compactRevision}`,
    `"Canceled":${canceled}`,
    `"Created":${created}`,
  ];
  return `{${parts.join(',')}}`;
}

/** What etcd's client makes of lease responses: the header's fields stand among its own. */
function leaseJson(
  header: ResponseHeader | undefined,
  own: readonly (readonly [name: string, json: ByteString | number | bigint])[],
): ByteString {
  const inlined = header === undefined ? '' : messageJson(ResponseHeader, header).slice(1, -1);
  const parts = own.map(([name, json]) => `"${name}":${json}`);
  return `{${[...(inlined === '' ? [] : [inlined]), ...parts].join(',')}}`;
}

function keysJson(keys: readonly Buffer[]): ByteString {
  return keys.length === 0 ? 'null' : array(keys.map((key) => `"${key.toString('base64')}"`));
}

/** A lease's id, which is a signed number to Go. */
function signed(id: bigint): bigint {
  return BigInt.asIntN(64, id);
}

/** `member list --hex`: etcdctl's own shape, ids as hex strings and before everything else. */
function hexMemberList({ header, members }: MemberListResponse): ByteString {
  const first = header === undefined ? [] : [`"header":${hexIdsFirst(ResponseHeader, header)}`];
  return `{${[...first, `"members":${array(members.map((member) => hexIdsFirst(Member, member)))}`].join(',')}}`;
}

function hexIdsFirst<T>(codec: Codec<T>, message: T): ByteString {
  const values = message as Readonly<Record<string, unknown>>;
  const ids: ByteString[] = [];
  const others: ByteString[] = [];
  for (const field of codec.fields) {
    const value = values[field.property];
    if (field.bigint !== undefined) {
      ids.push(`"${field.name}":"${formatId(value as bigint)}"`);
      continue;
    }
    const json = fieldJson(field, value);
    if (json !== undefined) others.push(`"${field.name}":${json}`);
  }
  return `{${[...ids, ...others].join(',')}}`;
}

function healthJson({ endpoint, healthy, tookMs, error }: EndpointHealth): ByteString {
  const failure = error === '' ? '' : `,"error":${stringJson(toText(error))}`;
  return `{"endpoint":${stringJson(endpoint)},"health":${healthy},"took":"${formatDuration(tookMs)}"${failure}}`;
}

function pair(endpoint: string, name: string, json: ByteString): ByteString {
  return `{"Endpoint":${stringJson(endpoint)},"${name}":${json}}`;
}

function array(items: readonly ByteString[]): ByteString {
  return `[${items.join(',')}]`;
}

function capitalised(name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1);
}

function hex4(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(4, '0');
}
