/**
 * etcd's key-value semantics once more, as plainly as possible: one array of everything that ever happened, full scans, decoded
 * messages, no sharing with the code under test. Held against a real etcd 3.5.30
 * when it was written, over 35,000 random requests: equal but for two things of 3.5, which names another error first when a
 * transaction deserves several, and panics where `gone` below decides.
 */
import {
  CompactionResponse,
  type Compare,
  type DeleteRangeRequest,
  DeleteRangeResponse,
  KeyValue,
  type KvErrorCode,
  type PutRequest,
  PutResponse,
  type RangeRequest,
  RangeResponse,
  type RequestOp,
  ResponseHeader,
  ResponseOp,
  type TxnRequest,
  TxnResponse,
} from '@quorate/proto';

/** A refusal. */
export class Refused extends Error {
  readonly code: KvErrorCode;
  constructor(code: KvErrorCode) {
    super(code);
    this.code = code;
  }
}

interface Happened {
  readonly revision: number;
  readonly key: string;
  /** Undefined for a delete. */
  readonly kv: KeyValue | undefined;
}

export class Reference {
  revision = 1;
  compacted = -1;
  readonly leases: ReadonlySet<bigint>;
  #history: Happened[] = [];

  constructor(leases: Iterable<bigint> = []) {
    this.leases = new Set(leases);
  }

  range(request: RangeRequest): RangeResponse {
    return this.#range(request, this.revision);
  }

  put(request: PutRequest): PutResponse {
    if (request.lease !== 0n && !this.leases.has(request.lease)) throw new Refused('leaseNotFound');
    if ((request.ignoreValue || request.ignoreLease) && !this.#get(request.key)) throw new Refused('keyNotFound');
    return this.#commit((revision) => this.#put(request, revision));
  }

  deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    return this.#commit((revision) => this.#deleteRange(request, revision));
  }

  txn(request: TxnRequest): TxnResponse {
    const taken = this.#takenBranches(request);
    this.#checkTxn(request, [...taken]);
    return this.#commit((revision) => {
      const responses = this.#run(request, [...taken], revision);
      const header = headerOf(this.#happenedIn(revision) ? revision : this.revision);
      return TxnResponse.create({ header, succeeded: taken[0]!, responses });
    });
  }

  compact(revision: number): CompactionResponse {
    if (revision <= this.compacted) throw new Refused('compacted');
    if (revision > this.revision) throw new Refused('futureRev');
    this.compacted = revision;
    return CompactionResponse.create({ header: headerOf(this.revision) });
  }

  /** Everything there is to see, at every revision that can still be read. */
  dump(): string {
    const lines = [`revision ${this.revision} compacted ${this.compacted}`];
    for (let at = Math.max(1, this.compacted); at <= this.revision; at++) {
      lines.push(`@${at} ${this.#all(at).map(showKv).join(' ')}`);
    }
    return lines.join('\n');
  }

  /** The next revision is used up only if something happened in it. */
  #commit<T>(run: (revision: number) => T): T {
    const revision = this.revision + 1;
    const result = run(revision);
    if (this.#happenedIn(revision)) this.revision = revision;
    return result;
  }

  #happenedIn(revision: number): boolean {
    return this.#history.some((item) => item.revision === revision);
  }

  /** All living keys at a revision, ascending. */
  #all(at: number): KeyValue[] {
    const latest = new Map<string, KeyValue | undefined>();
    for (const { revision, key, kv } of this.#history) if (revision <= at) latest.set(key, kv);
    return [...latest.entries()]
      .filter((entry): entry is [string, KeyValue] => entry[1] !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, kv]) => kv);
  }

  #inRange(key: Buffer, end: Buffer, at: number): KeyValue[] {
    return this.#all(at).filter((kv) => {
      if (end.length === 0) return kv.key.equals(key);
      if (kv.key.compare(key) < 0) return false;
      return end.equals(Buffer.from([0])) || kv.key.compare(end) < 0;
    });
  }

  #get(key: Buffer, at = this.revision): KeyValue | undefined {
    return this.#inRange(key, Buffer.alloc(0), at)[0];
  }

  #range(request: RangeRequest, current: number): RangeResponse {
    if (request.revision > current) throw new Refused('futureRev');
    const at = request.revision > 0 ? request.revision : current;
    if (at < this.compacted) throw new Refused('compacted');
    const found = this.#inRange(request.key, request.rangeEnd, at);
    const header = headerOf(current);
    const count = found.length;
    if (request.countOnly) return RangeResponse.create({ header, count });

    const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision, sortOrder, sortTarget } = request;
    const filters = [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision];
    const { limit } = request;
    let kvs = found;
    if (limit > 0 && sortOrder === 0 && filters.every((bound) => bound === 0)) kvs = kvs.slice(0, limit + 1);
    if (minModRevision !== 0) kvs = kvs.filter((kv) => kv.modRevision >= minModRevision);
    if (maxModRevision !== 0) kvs = kvs.filter((kv) => kv.modRevision <= maxModRevision);
    if (minCreateRevision !== 0) kvs = kvs.filter((kv) => kv.createRevision >= minCreateRevision);
    if (maxCreateRevision !== 0) kvs = kvs.filter((kv) => kv.createRevision <= maxCreateRevision);
    if (sortOrder !== 0 || sortTarget !== 0) kvs = [...kvs].sort(ordering(sortTarget, sortOrder === 2));
    const more = limit > 0 && kvs.length > limit;
    if (more) kvs = kvs.slice(0, limit);
    if (request.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: Buffer.alloc(0) }));
    return RangeResponse.create({ header, kvs: [...kvs], more, count });
  }

  #put(request: PutRequest, revision: number): PutResponse {
    const previous = this.#get(request.key, revision);
    const kv = KeyValue.create({
      key: request.key,
      value: request.ignoreValue ? previous!.value : request.value,
      lease: request.ignoreLease ? previous!.lease : request.lease,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
    });
    this.#history.push({ revision, key: request.key.toString('latin1'), kv });
    return PutResponse.create({ header: headerOf(revision), prevKv: request.prevKv ? previous : undefined });
  }

  #deleteRange(request: DeleteRangeRequest, revision: number): DeleteRangeResponse {
    const found = this.#inRange(request.key, request.rangeEnd, revision);
    for (const kv of found) this.#history.push({ revision, key: kv.key.toString('latin1'), kv: undefined });
    const header = headerOf(this.#happenedIn(revision) ? revision : this.revision);
    return DeleteRangeResponse.create({ header, deleted: found.length, prevKvs: request.prevKv ? found : [] });
  }

  /** In the order in which transactions are met when walking down the branches taken. */
  #takenBranches(request: TxnRequest): boolean[] {
    const succeeded = request.compare.every((compare) => this.#holds(compare));
    const nested = (succeeded ? request.success : request.failure).flatMap((op) =>
      op.requestTxn === undefined ? [] : this.#takenBranches(op.requestTxn),
    );
    return [succeeded, ...nested];
  }

  #holds(compare: Compare): boolean {
    const found = this.#inRange(compare.key, compare.rangeEnd, this.revision);
    if (found.length > 0) return found.every((kv) => holdsFor(compare, kv));
    return compare.target !== 3 && holdsFor(compare, KeyValue.create());
  }

  #checkTxn(request: TxnRequest, taken: boolean[]): void {
    const ops = this.#takenOps(request, taken);
    const deleted: DeleteRangeRequest[] = [];
    for (const { requestDeleteRange, requestPut } of ops) {
      if (requestDeleteRange !== undefined) deleted.push(requestDeleteRange);
      if (requestPut !== undefined) this.#checkTxnPut(requestPut, deleted);
    }
    for (const { requestRange } of ops) {
      if (requestRange === undefined || requestRange.revision === 0) continue;
      if (requestRange.revision > this.revision) throw new Refused('futureRev');
      if (requestRange.revision < this.compacted) throw new Refused('compacted');
    }
  }

  /** In the order in which they will run. */
  #takenOps(request: TxnRequest, taken: boolean[]): RequestOp[] {
    return takeBranch(request, taken).flatMap((op) =>
      op.requestTxn === undefined ? [op] : this.#takenOps(op.requestTxn, taken),
    );
  }

  #checkTxnPut(put: PutRequest, deleted: readonly DeleteRangeRequest[]): void {
    if (put.ignoreValue || put.ignoreLease) {
      const gone = deleted.some(({ key, rangeEnd }) =>
        this.#inRange(key, rangeEnd, this.revision).some((kv) => kv.key.equals(put.key)),
      );
      // Real etcd panics where `gone` decides.
      if (gone || !this.#get(put.key)) throw new Refused('keyNotFound');
    }
    if (put.lease !== 0n && !this.leases.has(put.lease)) throw new Refused('leaseNotFound');
  }

  #run(request: TxnRequest, taken: boolean[], revision: number): ResponseOp[] {
    return takeBranch(request, taken).map((op) => {
      if (op.requestRange !== undefined) {
        const current = this.#happenedIn(revision) ? revision : this.revision;
        return ResponseOp.create({ responseRange: this.#range(op.requestRange, current) });
      }
      if (op.requestPut !== undefined) return ResponseOp.create({ responsePut: this.#put(op.requestPut, revision) });
      if (op.requestDeleteRange !== undefined) {
        return ResponseOp.create({ responseDeleteRange: this.#deleteRange(op.requestDeleteRange, revision) });
      }
      const succeeded = taken[0]!;
      const responses = this.#run(op.requestTxn!, taken, revision);
      return ResponseOp.create({
        responseTxn: TxnResponse.create({ header: ResponseHeader.create(), succeeded, responses }),
      });
    });
  }
}

function takeBranch(request: TxnRequest, taken: boolean[]): readonly RequestOp[] {
  return taken.shift() ? request.success : request.failure;
}

function headerOf(revision: number): ResponseHeader {
  return ResponseHeader.create({ revision });
}

function ordering(target: number, descending: boolean): (a: KeyValue, b: KeyValue) => number {
  const sign = descending ? -1 : 1;
  return (a, b) => {
    switch (target) {
      case 0:
        return sign * a.key.compare(b.key);
      case 1:
        return sign * (a.version - b.version);
      case 2:
        return sign * (a.createRevision - b.createRevision);
      case 3:
        return sign * (a.modRevision - b.modRevision);
      default:
        return sign * a.value.compare(b.value);
    }
  };
}

function holdsFor(compare: Compare, kv: KeyValue): boolean {
  const order = compareOrder(compare, kv);
  return [order === 0, order > 0, order < 0, order !== 0][compare.result] ?? true;
}

function compareOrder(compare: Compare, kv: KeyValue): number {
  switch (compare.target) {
    case 0:
      return kv.version - (compare.version ?? 0);
    case 1:
      return kv.createRevision - (compare.createRevision ?? 0);
    case 2:
      return kv.modRevision - (compare.modRevision ?? 0);
    case 3:
      return Buffer.compare(kv.value, compare.value ?? Buffer.alloc(0));
    case 4:
      return Number(BigInt.asIntN(64, kv.lease) - BigInt.asIntN(64, compare.lease ?? 0n));
    default:
      return 0;
  }
}

function showKv(kv: KeyValue): string {
  const { key, value, createRevision, modRevision, version, lease } = kv;
  return `${key.toString('hex')}=${value.toString('hex')}/${createRevision}/${modRevision}/${version}/${lease}`;
}
