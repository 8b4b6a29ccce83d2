/** The simple format, for people: keys and values as they are, one per line; lists with commas. */
import { formatId } from '@quorate/base';
import type {
  AlarmMember,
  DeleteRangeResponse,
  Event,
  KeyValue,
  LeaseTimeToLiveResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
} from '@quorate/proto';
import { type ByteString, fromBytes, fromText, hexEscape } from '../text/bytes.ts';
import { formatDuration } from '../text/duration.ts';
import { alarmName } from './alarm-name.ts';
import { eventName } from './event-name.ts';
import type { FilesReport, Output, Printer } from './reports.ts';
import { hashRows, memberRows, type Rows, snapshotRows, statusRows } from './rows.ts';

export function simplePrinter(output: Output, { hex }: { hex: boolean }): Printer {
  const text = new SimpleText(hex ? hexEscape : fromBytes);
  return {
    get: (response, { valueOnly }) => output.out(text.get(response, valueOnly)),
    put: (response) => output.out(text.put(response)),
    del: (response) => output.out(text.del(response)),
    txn: ({ succeeded, responses }) =>
      output.out(`${succeeded ? 'SUCCESS' : 'FAILURE'}\n${responses.map((op) => `\n${text.op(op)}`).join('')}`),
    watch: ({ events }) => output.out(events.map((event) => text.event(event)).join('')),
    leaseGrant: ({ id, ttl }) => output.out(`lease ${leaseHex(id)} granted with TTL(${ttl}s)\n`),
    leaseRevoke: (_, { id }) => output.out(`lease ${leaseHex(id)} revoked\n`),
    leaseTimeToLive: (response, { keys }) => output.out(`${leaseLine(response, keys)}\n`),
    leaseList: ({ leases }) =>
      output.out(`found ${leases.length} leases\n${leases.map(({ id }) => `${leaseHex(id)}\n`).join('')}`),
    leaseKeepAlive: ({ id, ttl }) => output.out(`lease ${leaseHex(id)} keepalived with TTL(${ttl})\n`),
    alarm: ({ alarms }) => output.out(alarms.map(alarmLine).join('')),
    memberAdd: ({ header, member }) => {
      const kind = member?.isLearner === true ? ' as learner' : '';
      output.out(memberLine(member?.id ?? 0n, `added${kind} to`, header));
    },
    memberRemove: ({ header }, { id }) => output.out(memberLine(id, 'removed from', header)),
    memberUpdate: ({ header }, { id }) => output.out(memberLine(id, 'updated in', header)),
    memberPromote: ({ header }, { id }) => output.out(memberLine(id, 'promoted in', header)),
    moveLeader: (_response, { from, to }) =>
      output.out(`Leadership transferred from ${formatId(from)} to ${formatId(to)}\n`),
    downgrade: ({ version }, { action }) =>
      output.out(`Downgrade ${action} success, cluster version ${fromText(version)}\n`),
    memberList: ({ members }) => output.out(lines(memberRows(members))),
    endpointHealth: (list) => {
      for (const { endpoint, healthy, tookMs, error } of list) {
        const took = formatDuration(tookMs);
        const name = fromText(endpoint);
        if (healthy) output.out(`${name} is healthy: successfully committed proposal: took = ${took}\n`);
        else output.err(`${name} is unhealthy: failed to commit proposal: ${error}\n`);
      }
    },
    endpointStatus: (list) => output.out(lines(statusRows(list))),
    endpointHashKv: (list) => output.out(lines(hashRows(list))),
    verify: ({ notes, problems }) => {
      for (const note of notes) output.out(fromText(`${note}\n`));
      for (const problem of problems) output.out(fromText(problemLine(problem)));
    },
    snapshotStatus: (status) => output.out(lines(snapshotRows(status))),
  };
}

function problemLine({ file, offset, key, reason }: FilesReport['problems'][number]): string {
  const place = offset === undefined ? '' : ` at offset ${offset}`;
  return `PROBLEM ${file}${place}${key === '' ? '' : `, ${key}`}: ${reason}\n`;
}

class SimpleText {
  readonly #show: (bytes: Buffer) => ByteString;

  constructor(show: (bytes: Buffer) => ByteString) {
    this.#show = show;
  }

  get({ kvs }: RangeResponse, valueOnly: boolean): ByteString {
    return kvs.map((kv) => (valueOnly ? `${this.#show(kv.value)}\n` : this.#keyValue(kv))).join('');
  }

  put({ prevKv }: PutResponse): ByteString {
    return `OK\n${prevKv === undefined ? '' : this.#keyValue(prevKv)}`;
  }

  del({ deleted, prevKvs }: DeleteRangeResponse): ByteString {
    return `${deleted}\n${prevKvs.map((kv) => this.#keyValue(kv)).join('')}`;
  }

  event({ type, kv, prevKv }: Event): ByteString {
    return [
      `${eventName(type)}\n`,
      prevKv === undefined ? '' : this.#keyValue(prevKv),
      kv === undefined ? '' : this.#keyValue(kv),
    ].join('');
  }

  op(op: ResponseOp): ByteString {
    if (op.responseRange !== undefined) return this.get(op.responseRange, false);
    if (op.responsePut !== undefined) return this.put(op.responsePut);
    if (op.responseDeleteRange !== undefined) return this.del(op.responseDeleteRange);
    return 'unexpected response\n';
  }

  #keyValue({ key, value }: KeyValue): ByteString {
    return `${this.#show(key)}\n${this.#show(value)}\n`;
  }
}

/** Sixteen hex digits, with a sign for the ids that are negative to Go. */
export function leaseHex(id: bigint): string {
  const signed = BigInt.asIntN(64, id);
  return signed < 0n ? `-${(-signed).toString(16).padStart(15, '0')}` : signed.toString(16).padStart(16, '0');
}

function leaseLine({ id, ttl, grantedTTL, keys }: LeaseTimeToLiveResponse, showKeys: boolean): ByteString {
  if (grantedTTL === 0 && ttl === -1) return `lease ${leaseHex(id)} already expired`;
  const attached = showKeys ? `, attached keys([${keys.map(fromBytes).join(' ')}])` : '';
  return `lease ${leaseHex(id)} granted with TTL(${grantedTTL}s), remaining(${ttl}s)${attached}`;
}

/** As Go's protobuf text: fields at their default are left out, each followed by a space. */
function alarmLine({ memberID, alarm }: AlarmMember): ByteString {
  const member = memberID === 0n ? '' : `memberID:${memberID} `;
  return `${member}${alarm === 0 ? '' : `alarm:${alarmName(alarm)} `}\n`;
}

/** The ids as Go's `%16x` prints them. */
function memberLine(id: bigint, what: string, header: ResponseHeader | undefined): ByteString {
  const cluster = formatId(header?.clusterId ?? 0n).padStart(16);
  return `Member ${formatId(id).padStart(16)} ${what} cluster ${cluster}\n`;
}

function lines({ rows }: Rows): ByteString {
  return rows.map((row) => `${row.join(', ')}\n`).join('');
}
