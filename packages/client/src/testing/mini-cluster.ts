/**
 * A cluster in a few lines, for tests of recipes: keys with all their revisions, transactions, leases and watches, served at every
 * endpoint of a fake network at once. Writes can be made to fail before or after they took effect. Leases end when told to.
 */
import { SeededRandom } from '@quorate/base';
import {
  type Compare,
  CompareCompareResult,
  CompareCompareTarget,
  DeleteRangeRequest,
  DeleteRangeResponse,
  Event,
  EventEventType,
  KeyValue,
  KvError,
  kvService,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  leaseService,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  RangeResponse,
  type RequestOp,
  ResponseHeader,
  ResponseOp,
  Status,
  TxnRequest,
  TxnResponse,
  watchService,
} from '@quorate/proto';
import { Client } from '../client.ts';
import { RpcError } from '../errors.ts';
import { FakeNetwork, type FakeStream } from './fake-network.ts';
import { VirtualClock } from './virtual-clock.ts';
import { WatchMembers } from './watch-members.ts';

type Pairs = ReadonlyMap<string, KeyValue>;

/** What goes wrong with a write: nothing, the connection before it is known to a member, or after it took effect. */
export type Fault = 'none' | 'before' | 'after';

const text = (bytes: Buffer): string => bytes.toString('latin1');

export class MiniCluster {
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: FakeNetwork;
  readonly watches: WatchMembers;
  /** Asked for every write. */
  fault: () => Fault = () => 'none';
  /** Called before every unary call is served. */
  beforeCall: (path: string) => void = () => {};
  /** Seconds by lease. */
  readonly leases: Map<bigint, number> = new Map();
  compactRevision = 0;
  readonly #endpoints = ['a:1', 'b:1', 'c:1'];
  readonly #states: Pairs[] = [new Map(), new Map()];
  #draft: Map<string, KeyValue> = new Map();
  #events: Event[] = [];
  #nextLease = 0x100n;

  constructor() {
    this.network = new FakeNetwork(this.clock);
    for (const endpoint of this.#endpoints) this.network.behaviour.set(endpoint, 'serves');
    this.watches = new WatchMembers(this.network);
    this.network.serveUnary = (endpoint, path, request) => this.#serve(endpoint, path, request);
    this.network.serveStream = (stream) => {
      if (stream.path === watchService.methods.watch.path) this.watches.serve(stream);
      else this.#keepAlive(stream);
    };
  }

  get revision(): number {
    return this.watches.revision;
  }

  /** Keys and values now. */
  get state(): Record<string, string> {
    return Object.fromEntries([...this.#now].map(([key, kv]) => [key, text(kv.value)]));
  }

  client(): Client {
    const { clock, network } = this;
    return new Client({ endpoints: this.#endpoints, clock, random: new SeededRandom(1), transport: network.open });
  }

  put(key: string, value: string): void {
    this.#write(() => this.#put(PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) })));
  }

  /** Deletes its keys, as at its end; members have forgotten it. */
  endLease(id: bigint): void {
    this.leases.delete(id);
    this.#write(() => {
      for (const [key, kv] of [...this.#draft]) if (kv.lease === id) this.#delete(key);
    });
  }

  compact(): void {
    this.compactRevision = this.revision;
    this.watches.compactRevision = this.revision;
  }

  get #now(): Pairs {
    return this.#states[this.revision]!;
  }

  #header(): ResponseHeader {
    return ResponseHeader.create({ revision: this.revision });
  }

  #serve(endpoint: string, path: string, request: Buffer): Buffer {
    this.beforeCall(path);
    const fault = path === kvService.methods.range.path ? 'none' : this.fault();
    const dropped = new RpcError({ status: Status.UNAVAILABLE, details: 'Connection dropped', endpoint, sent: true });
    if (fault === 'before') throw dropped;
    try {
      const answer = this.#answer(path, request);
      if (fault === 'after') throw dropped;
      return answer;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      throw new RpcError({ status: error.status, details: error.message, endpoint, sent: true });
    }
  }

  #answer(path: string, bytes: Buffer): Buffer {
    const { range, put, deleteRange, txn } = kvService.methods;
    const { leaseGrant, leaseRevoke, leaseTimeToLive } = leaseService.methods;
    switch (path) {
      case range.path:
        return RangeResponse.encode(this.#range(RangeRequest.decode(bytes)));
      case put.path:
        return PutResponse.encode({
          ...this.#write(() => this.#put(PutRequest.decode(bytes))),
          header: this.#header(),
        });
      case deleteRange.path:
        return DeleteRangeResponse.encode({
          ...this.#write(() => this.#deleteRange(DeleteRangeRequest.decode(bytes))),
          header: this.#header(),
        });
      case txn.path: {
        const request = TxnRequest.decode(bytes);
        const response = this.#write(() => this.#txn(request));
        return TxnResponse.encode({ ...response, header: this.#header() });
      }
      case leaseGrant.path:
        return LeaseGrantResponse.encode(this.#grant(LeaseGrantRequest.decode(bytes)));
      case leaseRevoke.path: {
        const { id } = LeaseRevokeRequest.decode(bytes);
        if (!this.leases.has(id)) throw new KvError('leaseNotFound');
        this.endLease(id);
        return LeaseRevokeResponse.encode(LeaseRevokeResponse.create({ header: this.#header() }));
      }
      case leaseTimeToLive.path: {
        const { id } = LeaseTimeToLiveRequest.decode(bytes);
        const keys = [...this.#now].filter(([, kv]) => kv.lease === id).map(([key]) => Buffer.from(key, 'latin1'));
        const ttl = this.leases.get(id) ?? -1;
        return LeaseTimeToLiveResponse.encode({ header: this.#header(), id, ttl, grantedTTL: ttl, keys });
      }
      default:
        throw new KvError('unknownMethod');
    }
  }

  /** All that `change` does is one revision, if it does anything. */
  #write<T>(change: () => T): T {
    this.#draft = new Map(this.#now);
    this.#events = [];
    const result = change();
    if (this.#events.length > 0) {
      this.#states[this.revision + 1] = this.#draft;
      this.watches.commitEvents(this.#events);
    }
    return result;
  }

  #put({ key, value, lease, prevKv }: PutRequest): PutResponse {
    if (key.length === 0) throw new KvError('emptyKey');
    if (lease !== 0n && !this.leases.has(lease)) throw new KvError('leaseNotFound');
    const old = this.#draft.get(text(key));
    const modRevision = this.revision + 1;
    const kv = KeyValue.create({
      key,
      value,
      lease,
      modRevision,
      createRevision: old?.createRevision ?? modRevision,
      version: (old?.version ?? 0) + 1,
    });
    this.#draft.set(text(key), kv);
    this.#events.push(Event.create({ type: EventEventType.PUT, kv, prevKv: old }));
    return PutResponse.create({ prevKv: prevKv ? old : undefined });
  }

  #delete(key: string): void {
    const prevKv = this.#draft.get(key);
    this.#draft.delete(key);
    const kv = KeyValue.create({ key: Buffer.from(key, 'latin1'), modRevision: this.revision + 1 });
    this.#events.push(Event.create({ type: EventEventType.DELETE, kv, prevKv }));
  }

  #deleteRange({ key, rangeEnd, prevKv }: DeleteRangeRequest): DeleteRangeResponse {
    const gone = inRange(this.#draft, { key, rangeEnd });
    for (const kv of gone) this.#delete(text(kv.key));
    return DeleteRangeResponse.create({ deleted: gone.length, prevKvs: prevKv ? gone : [] });
  }

  #range(request: RangeRequest, pairs?: Pairs): RangeResponse {
    const { revision, sortTarget, sortOrder, limit, maxCreateRevision, keysOnly } = request;
    if (request.key.length === 0) throw new KvError('emptyKey');
    if (revision > this.revision) throw new KvError('futureRev');
    if (revision !== 0 && revision < this.compactRevision) throw new KvError('compacted');
    let kvs = inRange(revision === 0 ? (pairs ?? this.#now) : this.#states[revision]!, request);
    if (maxCreateRevision > 0) kvs = kvs.filter((kv) => kv.createRevision <= maxCreateRevision);
    if (sortTarget === RangeRequestSortTarget.CREATE) kvs.sort((a, b) => a.createRevision - b.createRevision);
    if (sortOrder === RangeRequestSortOrder.DESCEND) kvs.reverse();
    const count = kvs.length;
    const more = limit > 0 && count > limit;
    if (more) kvs = kvs.slice(0, limit);
    if (keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: Buffer.alloc(0) }));
    return RangeResponse.create({ header: this.#header(), kvs, count, more });
  }

  #txn({ compare, success, failure }: TxnRequest): TxnResponse {
    const succeeded = compare.every((one) => this.#holds(one));
    const responses = (succeeded ? success : failure).map((one) => this.#op(one));
    return TxnResponse.create({ succeeded, responses });
  }

  #op({ requestRange, requestPut, requestDeleteRange, requestTxn }: RequestOp): ResponseOp {
    if (requestRange !== undefined) return ResponseOp.create({ responseRange: this.#range(requestRange, this.#draft) });
    if (requestPut !== undefined) return ResponseOp.create({ responsePut: this.#put(requestPut) });
    if (requestTxn !== undefined) return ResponseOp.create({ responseTxn: this.#txn(requestTxn) });
    return ResponseOp.create({ responseDeleteRange: this.#deleteRange(requestDeleteRange!) });
  }

  #holds(one: Compare): boolean {
    const { key, target, result } = one;
    const kv = this.#draft.get(text(key)) ?? KeyValue.create();
    const actual =
      target === CompareCompareTarget.CREATE
        ? kv.createRevision - (one.createRevision ?? 0)
        : target === CompareCompareTarget.MOD
          ? kv.modRevision - (one.modRevision ?? 0)
          : kv.version - (one.version ?? 0);
    if (result === CompareCompareResult.EQUAL) return actual === 0;
    if (result === CompareCompareResult.NOT_EQUAL) return actual !== 0;
    return result === CompareCompareResult.LESS ? actual < 0 : actual > 0;
  }

  #grant({ ttl, id }: LeaseGrantRequest): LeaseGrantResponse {
    const given = id === 0n ? this.#nextLease++ : id;
    this.leases.set(given, ttl);
    return LeaseGrantResponse.create({ header: this.#header(), id: given, ttl });
  }

  #keepAlive(stream: FakeStream): void {
    stream.onRequest = (bytes) => {
      const { id } = LeaseKeepAliveRequest.decode(bytes);
      const ttl = this.leases.get(id) ?? 0;
      stream.send(LeaseKeepAliveResponse.encode({ header: this.#header(), id, ttl }));
    };
  }
}

function inRange(pairs: Pairs, { key, rangeEnd }: { key: Buffer; rangeEnd: Buffer }): KeyValue[] {
  const [first, end] = [text(key), text(rangeEnd)];
  const isInside = (name: string): boolean =>
    end === '' ? name === first : name >= first && (end === '\0' || name < end);
  const inside = [...pairs].filter(([name]) => isInside(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  return inside.map(([, kv]) => kv);
}
