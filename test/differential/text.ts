/**
 * Messages as text, field by field, with what must differ between two servers replaced by a name: ids of cluster, member and of
 * leases that the server picked, the term, sizes, indices. What is not listed in `masks` is compared as it is.
 */
import type { Codec, FieldInfo } from '@quorate/proto';

/** Names for what two servers call differently. */
export interface Names {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** `Message.field`: what is left out. */
  readonly omitted: ReadonlySet<string>;
  lease(id: bigint): string;
}

type Mask = (value: unknown, names: Names) => string;

const member: Mask = (id, names) => (id === names.memberId ? 'own' : String(id));
const lease: Mask = (id, names) => names.lease(id as bigint);
const some: Mask = (value) => (Number(value) > 0 ? 'some' : String(value));
const given: Mask = (value) => (String(value).length > 0 ? 'given' : 'none');

const masks: Readonly<Record<string, Mask>> = {
  'ResponseHeader.cluster_id': (id, { clusterId }) => (id === clusterId ? 'own' : String(id)),
  'ResponseHeader.member_id': member,
  'ResponseHeader.raft_term': some,
  'KeyValue.lease': lease,
  'LeaseGrantResponse.ID': lease,
  'LeaseKeepAliveResponse.ID': lease,
  'LeaseTimeToLiveResponse.ID': lease,
  'LeaseStatus.ID': lease,
  'LeaderKey.lease': lease,
  'AlarmMember.memberID': member,
  'Member.ID': member,
  'Member.name': given,
  'Member.peerURLs': given,
  'Member.clientURLs': given,
  'StatusResponse.version': given,
  'StatusResponse.leader': member,
  'StatusResponse.raftIndex': some,
  'StatusResponse.raftAppliedIndex': some,
  'StatusResponse.raftTerm': some,
  'StatusResponse.dbSize': some,
  'StatusResponse.dbSizeInUse': some,
};

/** A message as one line. Fields at their default are left out, messages without fields are not. */
export function textOf<T>(codec: Codec<T>, message: T, names: Names): string {
  const record = message as Readonly<Record<string, unknown>>;
  const prefix = codec.name.slice(codec.name.lastIndexOf('.') + 1);
  const parts: string[] = [];
  for (const field of codec.fields) {
    const value = record[field.property];
    const name = `${prefix}.${field.name}`;
    if (names.omitted.has(name)) continue;
    const mask = masks[name];
    if (field.repeated) {
      const all = (value as readonly unknown[]).map((one) => valueText(field, one, names, mask));
      if (all.length > 0) parts.push(`${field.name}: [${all.join(', ')}]`);
    } else if (value !== undefined && (field.oneof !== undefined || !isDefault(value))) {
      parts.push(`${field.name}: ${valueText(field, value, names, mask)}`);
    }
  }
  return `{${parts.join(', ')}}`;
}

/** Bytes as one word: printable characters as they are, the others in hex; what is long is cut, and its sum added. */
export function bytesText(bytes: Buffer): string {
  const text = bytes
    .toString('latin1')
    .replace(/[^ -~]|["\\]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  if (text.length <= 80) return `"${text}"`;
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0;
  return `"${text.slice(0, 40)}…" (${bytes.length} bytes, sum ${sum})`;
}

function valueText(field: FieldInfo, value: unknown, names: Names, mask: Mask | undefined): string {
  if (mask !== undefined) return mask(value, names);
  if (field.message !== undefined) return textOf(field.message(), value, names);
  if (Buffer.isBuffer(value)) return bytesText(value);
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function isDefault(value: unknown): boolean {
  if (Buffer.isBuffer(value)) return value.length === 0;
  return value === 0 || value === 0n || value === '' || value === false;
}
