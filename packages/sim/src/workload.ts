/**
 * Clients of a simulation: each calls one member after another with puts, deletes, reads and compare-and-swaps on few keys, and
 * notes what it saw. Values never repeat, so every effect can be found again.
 */
import type { Random } from '@quorate/base';
import {
  Compare,
  CompareCompareResult,
  CompareCompareTarget,
  DeleteRangeRequest,
  DeleteRangeResponse,
  KvError,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  type ResponseHeader,
  TxnRequest,
  TxnResponse,
} from '@quorate/proto';
import type { Reply } from '@quorate/rpc';
import type { Member } from '@quorate/server';
import type { Answer, Call, History, Outcome } from './history.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimMember } from './sim-member.ts';

export interface WorkloadOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly history: History;
  readonly members: readonly SimMember[];
  /** Whom to ask now, undefined when there is nobody; default: any of the members. */
  readonly whom?: () => SimMember | undefined;
  readonly keyCount: number;
  /** Mean virtual milliseconds a client rests between two calls. */
  readonly pauseMs: number;
}

/** Answers that say for certain that nothing happened. */
const refusals = new Set(['tooManyRequests', 'requestTooLarge', 'noSpace', 'compacted', 'futureRev']);
/** A client gives up on a call after this long; its outcome is then unknown. */
const patienceMs = 4_000;

export class Client {
  readonly #options: WorkloadOptions;
  readonly #name: string;
  #calls = 0;
  #stopped = false;
  /** Mod revisions this client saw, for swaps that have a chance. */
  readonly #seen = new Map<string, number>();

  constructor(name: string, options: WorkloadOptions) {
    this.#name = name;
    this.#options = options;
  }

  start(): void {
    this.#rest();
  }

  stop(): void {
    this.#stopped = true;
  }

  #rest(): void {
    const { scheduler, random, pauseMs } = this.#options;
    scheduler.after(random.below(2 * pauseMs * 1000) / 1000, () => this.#next());
  }

  #next(): void {
    if (this.#stopped) return;
    const { members, random, whom } = this.#options;
    const member = (whom === undefined ? members[random.below(members.length)] : whom())?.running;
    if (member === undefined) this.#rest();
    else this.#issue(member, this.#pick());
  }

  #pick(): Call {
    const { random, keyCount } = this.#options;
    const key = `k${random.below(keyCount)}`;
    const value = `${this.#name}-${++this.#calls}`;
    const dice = random.below(100);
    if (dice < 45) return { kind: 'put', key, value };
    if (dice < 55) return { kind: 'delete', key };
    if (dice < 80) return { kind: 'get', key, serializable: false };
    if (dice < 88) return { kind: 'get', key, serializable: true };
    return { kind: 'swap', key, expectModRevision: this.#seen.get(key) ?? 0, value };
  }

  #issue(member: Member, call: Call): void {
    const { scheduler, history } = this.#options;
    const operation = history.begin(call, scheduler.nowMs);
    let ended = false;
    const end = (outcome: Outcome): void => {
      if (ended) return;
      ended = true;
      patience.cancel();
      history.end(operation, outcome, scheduler.nowMs);
      if (outcome.at === 'ok' && outcome.answer.kind === 'get') {
        this.#seen.set(call.key, outcome.answer.found?.modRevision ?? 0);
      }
      this.#rest();
    };
    const patience = scheduler.after(patienceMs, () => end({ at: 'unknown' }));
    const encoded = (bytes: Buffer): void => end({ at: 'ok', answer: decodeAnswer(call, bytes) });
    send(member, call, {
      ok: () => end({ at: 'unknown' }),
      encoded,
      pieces: (pieces) => encoded(Buffer.concat(pieces)),
      fail: (error) => end(outcomeOf(error)),
    });
  }
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof KvError && refusals.has(error.code)) return { at: 'refused', reason: error.code };
  return { at: 'unknown' };
}

function send(member: Member, call: Call, reply: Reply<never>): void {
  const key = Buffer.from(call.key);
  switch (call.kind) {
    case 'put':
      member.kv.put(PutRequest.create({ key, value: Buffer.from(call.value) }), reply);
      return;
    case 'delete':
      member.kv.deleteRange(DeleteRangeRequest.create({ key }), reply);
      return;
    case 'get':
      member.kv.range(RangeRequest.create({ key, serializable: call.serializable }), reply);
      return;
    case 'swap':
      member.kv.txn(swapRequest(key, call.expectModRevision, call.value), reply);
      return;
  }
}

function swapRequest(key: Buffer, modRevision: number, value: string): TxnRequest {
  const compare = Compare.create({
    key,
    target: CompareCompareTarget.MOD,
    result: CompareCompareResult.EQUAL,
    modRevision,
  });
  const requestPut = PutRequest.create({ key, value: Buffer.from(value) });
  return TxnRequest.create({ compare: [compare], success: [RequestOp.create({ requestPut })] });
}

function decodeAnswer(call: Call, bytes: Buffer): Answer {
  switch (call.kind) {
    case 'put':
      return { kind: 'put', revision: revisionOf(PutResponse.decode(bytes).header) };
    case 'delete': {
      const { header, deleted } = DeleteRangeResponse.decode(bytes);
      return { kind: 'delete', revision: revisionOf(header), deleted };
    }
    case 'get': {
      const { header, kvs } = RangeResponse.decode(bytes);
      const kv = kvs[0];
      const found = kv === undefined ? undefined : { value: kv.value.toString('latin1'), modRevision: kv.modRevision };
      return { kind: 'get', revision: revisionOf(header), found };
    }
    case 'swap': {
      const { header, succeeded } = TxnResponse.decode(bytes);
      return { kind: 'swap', revision: revisionOf(header), succeeded };
    }
  }
}

function revisionOf(header: ResponseHeader | undefined): number {
  if (header === undefined) throw new Error('answer without a header');
  return header.revision;
}
