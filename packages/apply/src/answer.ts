/** From the outcome of a request to the answer its caller gets: the encoded response under this member's header. */
import {
  AlarmResponse,
  encodeDeleteRangeResponse,
  encodeHeaderResponse,
  encodePutResponse,
  encodeRangeResponse,
  encodeTxnResponse,
  type HeaderPrefix,
  type KvError,
  LeaseGrantResponse,
  type PutResponse,
} from '@quorate/proto';
import type { Outcome } from './applier.ts';

/** A request that was carried out. */
export interface Applied {
  /** Encoded response message, header included. */
  readonly response: Buffer;
  /** The same message for callers without a wire between; undefined where it is put together from stored bytes. */
  readonly message?: unknown;
  /** The revision in its header. */
  readonly revision: number;
  /** Of a compaction only: settles when this member has removed what the compaction forgets (see mvcc's Compaction). */
  readonly physical: Promise<void> | undefined;
}

/** What a caller is told: the response, or why the request was refused. */
export type ApplyResult = Applied | KvError;

/** A put that answers with nothing but a header: made into what its caller takes, bytes or a message. */
class AppliedPut implements Applied {
  readonly revision: number;
  readonly physical = undefined;
  private readonly headerPrefix: HeaderPrefix;

  constructor(revision: number, headerPrefix: HeaderPrefix) {
    this.revision = revision;
    this.headerPrefix = headerPrefix;
  }

  get response(): Buffer {
    const { headerPrefix, revision } = this;
    return encodeHeaderResponse({ headerPrefix, revision });
  }

  get message(): PutResponse {
    const { clusterId, memberId, raftTerm } = this.headerPrefix.header;
    return { header: { clusterId, memberId, revision: this.revision, raftTerm }, prevKv: undefined };
  }
}

/** Encodes an outcome, or leaves that to whoever takes it. */
export function encodeOutcome(outcome: Outcome, headerPrefix: HeaderPrefix): Applied {
  if (outcome.op === 'put' && outcome.prevKv === undefined) return new AppliedPut(outcome.revision, headerPrefix);
  const physical = outcome.op === 'compaction' ? outcome.physical : undefined;
  return { response: encodeResponse(outcome, headerPrefix), revision: outcome.revision, physical };
}

function encodeResponse(outcome: Outcome, headerPrefix: HeaderPrefix): Buffer {
  const { revision } = outcome;
  switch (outcome.op) {
    case 'put':
      return encodePutResponse({ headerPrefix, revision, prevKv: outcome.prevKv });
    case 'range': {
      const { kvs, more, count } = outcome;
      return encodeRangeResponse({ headerPrefix, revision, kvs, more, count });
    }
    case 'deleteRange': {
      const { deleted, prevKvs } = outcome;
      return encodeDeleteRangeResponse({ headerPrefix, revision, deleted, prevKvs });
    }
    case 'txn': {
      const { succeeded, responses } = outcome;
      return encodeTxnResponse({ headerPrefix, revision, succeeded, responses });
    }
    case 'alarm': {
      // Fields of a message may be encoded apart and joined.
      const alarms = AlarmResponse.encode(AlarmResponse.create({ alarms: [...outcome.alarms] }));
      return Buffer.concat([encodeHeaderResponse({ headerPrefix, revision }), alarms]);
    }
    case 'leaseGrant': {
      const { id, ttl } = outcome;
      const lease = LeaseGrantResponse.encode(LeaseGrantResponse.create({ id, ttl }));
      return Buffer.concat([encodeHeaderResponse({ headerPrefix, revision }), lease]);
    }
    default:
      return encodeHeaderResponse({ headerPrefix, revision });
  }
}
