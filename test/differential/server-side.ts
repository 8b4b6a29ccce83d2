/** One server and what a sequence knows about it. Plays operations, one after another, and writes down every answer as text. */
import {
  AlarmRequest,
  AlarmResponse,
  type AnyMethod,
  CompactionRequest,
  DeleteRangeRequest,
  HashKVRequest,
  LeaseGrantRequest,
  type LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  type LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  MemberListRequest,
  type MethodInfo,
  MoveLeaderRequest,
  PutRequest,
  type ResponseHeader,
  Status,
  StatusRequest,
  StatusResponse,
  services,
} from '@quorate/proto';
import {
  type LeaseRef,
  namedLeases,
  type Operation,
  type RevisionRef,
  type Sequence,
  unknownLease,
  unknownMember,
} from './operations.ts';
import { Recipes } from './recipes.ts';
import {
  bigTxnRequest,
  bytesOf,
  deleteRequest,
  type Meaning,
  putRequest,
  rangeRequest,
  txnRequest,
  watchRequest,
} from './requests.ts';
import type { Rulings } from './rulings.ts';
import { type Names, textOf } from './text.ts';
import { Journal, Watches } from './watches.ts';
import { Wire, type WireStream } from './wire.ts';

const kv = services.kv.methods;
const lease = services.lease.methods;
const maintenance = services.maintenance.methods;

/** A unary method. */
type Method<Req, Res> = MethodInfo<Req, Res, false, false>;
type Answering<Res> = Pick<MethodInfo<unknown, Res, false, false>, 'path' | 'response'>;

/** Makes a unary call. */
export type Call = <Req, Res>(method: Method<Req, Res>, request: Req) => Promise<Told<Res>>;

/** An answer as it came, and as text. */
interface Told<Res> {
  readonly code: number;
  readonly message: string;
  readonly response: Res | undefined;
  readonly text: string;
}

/** What one side answered to a sequence: a line for each operation that was played, and one for each thing its watches were told. */
export interface Transcript {
  readonly answers: readonly string[];
  readonly watched: readonly string[];
}

const allMethods: ReadonlyMap<string, AnyMethod> = new Map(
  Object.values(services).flatMap(({ methods }) =>
    Object.values<AnyMethod>(methods).map((method) => [method.path, method] as const),
  ),
);

export class ServerSide implements Meaning {
  readonly name: string;
  readonly #endpoint: string;
  readonly #wire: Wire;
  readonly #journal: Journal;
  readonly #watches: Watches;
  readonly #recipes: Recipes;
  readonly #rulings: Rulings;
  #names: Names;
  #start = 0;
  #current = 0;
  #compacted = 0;
  readonly #compactions = new Set<number>();
  #picked: bigint[] = [];
  #keepAlive: KeepAlive | undefined;
  /** Whether alarms may stand. */
  #alarmed = false;

  private constructor(name: string, endpoint: string, rulings: Rulings) {
    this.name = name;
    this.#endpoint = endpoint;
    this.#rulings = rulings;
    const omitted = rulings.unknownFields;
    this.#names = { memberId: 0n, clusterId: 0n, omitted, lease: (id) => this.#leaseName(id) };
    this.#wire = new Wire(endpoint);
    this.#journal = new Journal(this.#wire);
    this.#watches = new Watches(endpoint, this.#journal);
    this.#recipes = new Recipes((method, request) => this.#call(method, request), this);
  }

  static async open(name: string, endpoint: string, rulings: Rulings): Promise<ServerSide> {
    const side = new ServerSide(name, endpoint, rulings);
    await side.#journal.ready();
    const { response } = await side.#call(maintenance.status, StatusRequest.create());
    const { memberId, clusterId } = response!.header!;
    side.#names = { ...side.#names, memberId, clusterId };
    return side;
  }

  /** The store's revision as last heard. */
  get current(): number {
    return this.#current;
  }

  close(): void {
    this.#watches.reset();
    this.#wire.close();
  }

  /** No keys, leases, watches or alarms. */
  async clear(): Promise<void> {
    this.#watches.reset();
    this.#recipes.reset();
    this.#keepAlive?.close();
    this.#keepAlive = undefined;
    if (this.#alarmed) await this.#disarm();
    const { response, text } = await this.#call(lease.leaseLeases, LeaseLeasesRequest.create());
    if (response === undefined) throw new Error(`${this.name} has no list of leases: ${text}`);
    for (const { id } of response.leases) {
      await this.#call(lease.leaseRevoke, LeaseRevokeRequest.create({ id }));
    }
    this.#picked = [];
    const all = Buffer.from([0]);
    await this.#call(kv.deleteRange, DeleteRangeRequest.create({ key: all, rangeEnd: all }));
  }

  /**
   * Brings the store to `revision` with one key in it and nothing before it. Call it after {@link clear}; `revision` is the next
   * one, or more than two ahead.
   */
  async begin(revision: number): Promise<void> {
    if (this.#current < revision - 1) {
      while (this.#current < revision - 2) await this.#put('filler');
      await this.#call(kv.deleteRange, DeleteRangeRequest.create({ key: bytesOf('filler') }));
    }
    await this.#put('a');
    await this.#call(kv.compact, CompactionRequest.create({ revision, physical: true }));
    this.#start = revision;
    this.#compacted = revision;
    this.#compactions.add(revision);
    await this.#journal.reach(revision);
    this.#journal.forget(revision);
  }

  async play({ operations, patient }: Sequence): Promise<Transcript> {
    const answers: string[] = [];
    for (const operation of operations) {
      if (operation === undefined) continue;
      answers.push(this.#ruled(operation) ?? (await this.#play(operation)));
      if (patient) await this.#watches.settle(this.#current);
    }
    await this.#watches.settle(this.#current);
    await this.#watches.close();
    const watched = this.#watches.history(this.#names, patient);
    return { answers, watched };
  }

  revision(ref: RevisionRef): number {
    switch (ref.at) {
      case 'none':
        return 0;
      case 'absolute':
        return ref.revision;
      case 'start':
        return this.#start + ref.plus;
      case 'compacted':
        return this.#compacted + ref.plus;
      default:
        return Math.max(this.#current + ref.plus, 1);
    }
  }

  lease(ref: LeaseRef): bigint {
    if (ref.of === 'none') return 0n;
    if (ref.of === 'named') return namedLeases[ref.index]!;
    const picked = ref.of === 'picked' ? this.#picked[ref.index % this.#picked.length] : undefined;
    return picked ?? unknownLease;
  }

  /** The answer where this server is not asked. */
  #ruled(operation: Operation): string | undefined {
    if (this.#rulings.skips(operation)) return 'not asked';
    return this.name === 'etcd' ? this.#rulings.answer(operation) : undefined;
  }

  #leaseName(id: bigint): string {
    const index = this.#picked.indexOf(id);
    return index < 0 ? String(id) : `picked ${index}`;
  }

  #member(who: 'own' | 'none' | 'unknown'): bigint {
    if (who === 'own') return this.#names.memberId;
    return who === 'none' ? 0n : unknownMember;
  }

  async #play(op: Operation): Promise<string> {
    switch (op.kind) {
      case 'range':
        return this.#text(kv.range, rangeRequest(op, this));
      case 'put':
        return this.#text(kv.put, putRequest(op, this));
      case 'delete':
        return this.#text(kv.deleteRange, deleteRequest(op));
      case 'txn':
        return this.#text(kv.txn, txnRequest(op, this));
      case 'big put':
        return this.#bigPut(op.valueBytes);
      case 'big txn':
        return this.#text(kv.txn, bigTxnRequest(op.opsCount, op.depth));
      case 'compact':
        return this.#compact(this.revision(op.revision), op.physical);
      case 'grant':
      case 'revoke':
      case 'keep alive':
      case 'time to live':
      case 'leases':
        return this.#playLease(op);
      case 'lock':
      case 'unlock':
      case 'campaign':
      case 'leader':
      case 'proclaim':
      case 'resign':
        return this.#recipes.play(op);
      case 'watch':
      case 'unwatch':
      case 'progress':
        return this.#playWatch(op);
      default:
        return this.#playOther(op);
    }
  }

  /** On a connection of its own: what a server does not read of a message that it refuses stays in everybody's way. */
  async #bigPut(valueBytes: number): Promise<string> {
    const wire = new Wire(this.#endpoint);
    const request = PutRequest.create({ key: bytesOf('big'), value: Buffer.alloc(valueBytes, 'v') });
    const { text } = await this.#exchange(kv.put, PutRequest.encode(request), wire);
    wire.close();
    return text;
  }

  /** A watch that is behind must not meet a compaction: whether it is cancelled would be a matter of time. */
  async #compact(revision: number, physical: boolean): Promise<string> {
    await this.#watches.catchUp(this.#current);
    const { code, text } = await this.#call(kv.compact, CompactionRequest.create({ revision, physical }));
    if (code === Status.OK) {
      this.#compacted = revision;
      this.#compactions.add(revision);
    }
    return text;
  }

  async #playLease(
    op: Extract<Operation, { kind: 'grant' | 'revoke' | 'keep alive' | 'time to live' | 'leases' }>,
  ): Promise<string> {
    if (op.kind === 'leases') return this.#leases();
    const id = this.lease(op.lease);
    if (op.kind === 'revoke') return this.#text(lease.leaseRevoke, LeaseRevokeRequest.create({ id }));
    if (op.kind === 'keep alive') {
      this.#keepAlive ??= new KeepAlive(this.#wire);
      return this.#keepAlive.renew(id, this.#names);
    }
    if (op.kind === 'time to live') return this.#timeToLive(LeaseTimeToLiveRequest.create({ id, keys: op.keys }));
    const told = await this.#call(lease.leaseGrant, LeaseGrantRequest.create({ id, ttl: op.ttl }));
    const granted = (told.response as LeaseGrantResponse | undefined)?.id;
    if (id !== 0n || granted === undefined) return told.text;
    this.#picked.push(granted);
    return told.text.replace(String(granted), this.#leaseName(granted));
  }

  /** Sorted: etcd sorts by the time left, which is the same for leases of one length. */
  async #leases(): Promise<string> {
    const told = await this.#call(lease.leaseLeases, LeaseLeasesRequest.create());
    const ids = (told.response as LeaseLeasesResponse | undefined)?.leases.map(({ id }) => this.#leaseName(id)) ?? [];
    return `${told.text.replace(/leases: .*/, '')} ${ids.sort().join(' ')}`;
  }

  /** What is left is a matter of time: it is given as the part of what was granted that it should be. Keys are sorted. */
  async #timeToLive(request: LeaseTimeToLiveRequest): Promise<string> {
    const { response, text } = await this.#call(lease.leaseTimeToLive, request);
    if (response === undefined) return text;
    const { ttl, grantedTTL } = response;
    const shown = LeaseTimeToLiveResponse.create({
      ...response,
      ttl: ttl > 0 && ttl <= grantedTTL && ttl >= grantedTTL - 60 ? grantedTTL : ttl,
      keys: [...response.keys].sort(Buffer.compare),
    });
    return textOf(LeaseTimeToLiveResponse, shown, this.#names);
  }

  async #playWatch(op: Extract<Operation, { kind: 'watch' | 'unwatch' | 'progress' }>): Promise<string> {
    if (op.kind === 'watch') {
      if (!this.#rulings.keepsDeletions && this.revision(op.start) === this.#compacted) return 'not asked';
      const revisions = { current: this.#current, compacted: this.#compacted };
      return this.#watches.create(op.stream, watchRequest(op, this), revisions, this.#names);
    }
    await this.#watches.catchUp(this.#current);
    return op.kind === 'unwatch'
      ? this.#watches.cancel(op.stream, op.watch, this.#names)
      : this.#watches.progress(op.stream, this.#current, this.#names);
  }

  async #playOther(
    op: Extract<
      Operation,
      { kind: 'hash' | 'status' | 'members' | 'alarm' | 'move leader' | 'malformed' | 'unknown method' }
    >,
  ): Promise<string> {
    switch (op.kind) {
      case 'hash':
        return this.#hash(this.revision(op.revision));
      case 'status':
        return this.#status();
      case 'members': {
        const { linearizable } = op;
        return this.#text(services.cluster.methods.memberList, MemberListRequest.create({ linearizable }));
      }
      case 'alarm':
        return this.#alarm(op.action, this.#member(op.member), op.alarm);
      case 'move leader':
        return this.#text(maintenance.moveLeader, MoveLeaderRequest.create({ targetID: this.#member(op.target) }));
      case 'malformed':
        return this.#malformed(op.method, bytesOf(op.bytes));
      default: {
        const { code, message } = await this.#wire.unary(op.path, Buffer.alloc(0));
        return `${code} ${message}`;
      }
    }
  }

  /** Not of a revision at which there was a compaction: etcd has kept the sum from before it, and kvd has not. */
  async #hash(revision: number): Promise<string> {
    if (this.#compactions.has(revision)) return 'not asked';
    if (!this.#rulings.keepsDeletions && this.#compacted > this.#start) return 'not asked';
    return this.#text(maintenance.hashKV, HashKVRequest.create({ revision }));
  }

  /** Its errors come in no order. */
  async #status(): Promise<string> {
    const { response, text } = await this.#call(maintenance.status, StatusRequest.create());
    if (response === undefined) return text;
    const errors = response.errors.map((one) => one.replace(String(this.#names.memberId), 'own')).sort();
    return textOf(StatusResponse, StatusResponse.create({ ...response, errors }), this.#names);
  }

  /** Alarms come in no order. */
  async #alarm(action: number, memberID: bigint, alarm: number): Promise<string> {
    this.#alarmed = true;
    const { text, response } = await this.#call(maintenance.alarm, AlarmRequest.create({ action, memberID, alarm }));
    if (response === undefined) return text;
    const alarms = [...response.alarms].sort((a, b) => Number(a.memberID - b.memberID) || a.alarm - b.alarm);
    return textOf(AlarmResponse, AlarmResponse.create({ ...response, alarms }), this.#names);
  }

  async #malformed(path: string, bytes: Buffer): Promise<string> {
    const method = allMethods.get(`/${path}`)!;
    const { text } = await this.#exchange(method, bytes);
    // What is wrong with the bytes is said in the words of either's library.
    return text.replace(/^(\d+ grpc: error unmarshalling request: ).*/, '$1…');
  }

  async #disarm(): Promise<void> {
    const { response } = await this.#call(maintenance.alarm, AlarmRequest.create());
    for (const { memberID, alarm } of response?.alarms ?? []) {
      await this.#call(maintenance.alarm, AlarmRequest.create({ action: 2, memberID, alarm }));
    }
    this.#alarmed = false;
  }

  async #put(key: string): Promise<void> {
    await this.#call(kv.put, PutRequest.create({ key: bytesOf(key) }));
  }

  async #text<Req, Res>(method: Method<Req, Res>, request: Req): Promise<string> {
    return (await this.#call(method, request)).text;
  }

  #call<Req, Res>(method: Method<Req, Res>, request: Req): Promise<Told<Res>> {
    return this.#exchange(method, method.request.encode(request));
  }

  async #exchange<Res>(method: Answering<Res>, bytes: Buffer, wire: Wire = this.#wire): Promise<Told<Res>> {
    const { code, message, body } = await wire.unary(method.path, bytes);
    if (body === undefined) return { code, message, response: undefined, text: `${code} ${message}` };
    const response = method.response.decode(body);
    const header = (response as { readonly header?: ResponseHeader }).header;
    this.#current = Math.max(this.#current, header?.revision ?? 0);
    const text = textOf(method.response, response, this.#names);
    // A field that our codec does not know, or bytes that it would write otherwise.
    const isWhole = method.response.encode(response).equals(body);
    return { code, message, response, text: isWhole ? text : `${text} of bytes ${body.toString('hex')}` };
  }
}

/** One stream of renewals: an answer for each, in order. */
class KeepAlive {
  readonly #stream: WireStream;
  #done: ((text: LeaseKeepAliveResponse | string) => void) | undefined;
  #ended: string | undefined;

  constructor(wire: Wire) {
    this.#stream = wire.stream(lease.leaseKeepAlive.path, {
      onMessage: (bytes) => this.#done?.(LeaseKeepAliveResponse.decode(bytes)),
      onEnd: ({ code, message }) => {
        this.#ended = `${code} ${message}`;
        this.#done?.(this.#ended);
      },
    });
  }

  async renew(id: bigint, names: Names): Promise<string> {
    if (this.#ended !== undefined) return this.#ended;
    const answer = await new Promise<LeaseKeepAliveResponse | string>((done) => {
      this.#done = done;
      this.#stream.write(LeaseKeepAliveRequest.encode(LeaseKeepAliveRequest.create({ id })));
    });
    this.#done = undefined;
    return typeof answer === 'string' ? answer : textOf(LeaseKeepAliveResponse, answer, names);
  }

  close(): void {
    this.#stream.end();
  }
}
