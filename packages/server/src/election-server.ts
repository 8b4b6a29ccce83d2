/** The Election service without its transport: etcd's v3election. Who is first in the waiting line leads, its value is the proclamation. */
import { keyFromBytes, type LeaseId } from '@quorate/base';
import {
  type CampaignRequest,
  CampaignResponse,
  EventEventType,
  type KeyValue,
  KvError,
  LeaderKey,
  type LeaderRequest,
  LeaderResponse,
  type ProclaimRequest,
  ProclaimResponse,
  PutRequest,
  RequestOp,
  type ResignRequest,
  ResignResponse,
  type ResponseHeader,
} from '@quorate/proto';
import type { ServerCall, ServerStream } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import type { LocalKv } from './local-kv.ts';
import { recipeError, sessionExpired } from './recipe-error.ts';
import {
  createdAt,
  enterLine,
  holderOf,
  leaveLine,
  linePrefix,
  type Place,
  sessionLease,
  waitForTurn,
  wholeLine,
} from './waiting-line.ts';

export class ElectionServer {
  readonly #kv: LocalKv;
  readonly #headers: HeaderSource;

  constructor(kv: LocalKv, headers: HeaderSource) {
    this.#kv = kv;
    this.#headers = headers;
  }

  /** Resolves when `name` is led by the caller. The header is that of entering the line, as in etcd. */
  async campaign({ name, lease, value }: CampaignRequest, call: ServerCall): Promise<CampaignResponse> {
    const kv = this.#kv;
    const session = await sessionLease(kv, lease);
    const { place, header, former } = await enterLine(kv, { name, lease: session, value });
    const leader = LeaderKey.create({ name, key: place.key, rev: place.revision, lease: session });
    try {
      if (former !== undefined && !former.value.equals(value)) await this.#proclaim(place, value);
      await waitForTurn(kv, name, place.revision, call);
      await this.#mustStand(place);
    } catch (error) {
      await leaveLine(kv, place).catch(() => {});
      throw error;
    }
    if (call.cancelled) await leaveLine(kv, place);
    return CampaignResponse.create({ header, leader });
  }

  async proclaim({ leader, value }: ProclaimRequest): Promise<ProclaimResponse> {
    const place = await this.#placeOf(leader);
    return ProclaimResponse.create({ header: await this.#proclaim(place, value) });
  }

  async leader({ name }: LeaderRequest): Promise<LeaderResponse> {
    const { header, kvs } = await holderOf(this.#kv, name);
    if (kvs[0] === undefined) throw new KvError('electionNoLeader');
    return LeaderResponse.create({ header, kv: kvs[0] });
  }

  /** A place that is not the caller's any more is fine. */
  async resign({ leader }: ResignRequest): Promise<ResignResponse> {
    const { header } = await leaveLine(this.#kv, await this.#placeOf(leader));
    return ResignResponse.create({ header });
  }

  /** Sends who leads, and every proclamation and change from then on, until the caller goes. */
  observe({ name }: LeaderRequest, call: ServerCall, stream: ServerStream<LeaderResponse>): void {
    stream.sendHeaders();
    const observer = new Observer(this.#kv, name, call, {
      headers: this.#headers,
      stream,
    });
    observer.run().catch((error: unknown) => stream.fail(recipeError(error)));
  }

  async #placeOf(leader: LeaderKey | undefined): Promise<Place> {
    if (leader === undefined) throw new KvError('missingLeaderKey');
    const lease: LeaseId = await sessionLease(this.#kv, leader.lease);
    return { key: leader.key, lease, revision: leader.rev };
  }

  async #proclaim({ key, lease, revision }: Place, value: Buffer): Promise<ResponseHeader | undefined> {
    const put = RequestOp.create({ requestPut: PutRequest.create({ key, value, lease }) });
    const { succeeded, header } = await this.#kv.txn({ compare: [createdAt(key, revision)], success: [put] });
    if (!succeeded) throw new KvError('electionNotLeader');
    return header;
  }

  /** etcd answers a campaign as won also when its lease ended while it waited; here the dead do not win. */
  async #mustStand({ key, revision }: Place): Promise<void> {
    const { kvs } = await this.#kv.range({ key });
    if (kvs[0]?.createRevision !== revision) throw sessionExpired();
  }
}

/** One stream of Observe. */
class Observer {
  readonly #kv: LocalKv;
  readonly #name: Buffer;
  readonly #call: ServerCall;
  readonly #headers: HeaderSource;
  readonly #stream: ServerStream<LeaderResponse>;
  #goOn: () => void = () => {};
  /** Revision of what was sent last. */
  #sentRevision = 0;

  constructor(
    kv: LocalKv,
    name: Buffer,
    call: ServerCall,
    ends: { readonly headers: HeaderSource; readonly stream: ServerStream<LeaderResponse> },
  ) {
    this.#kv = kv;
    this.#name = name;
    this.#call = call;
    this.#headers = ends.headers;
    this.#stream = ends.stream;
    ends.stream.onDrain(() => this.#goOn());
  }

  /** Rejects when the call ends or the member stops. */
  async run(): Promise<never> {
    for (;;) {
      const { kvs, header } = await holderOf(this.#kv, this.#name);
      const revision = header?.revision ?? 0;
      const leader = kvs[0] ?? (await this.#firstPut(revision));
      if (leader === undefined) continue;
      const seen = kvs[0] === undefined ? leader.modRevision : revision;
      if (leader.modRevision > this.#sentRevision) this.#send(leader, seen);
      await this.#untilDeleted(leader, seen);
    }
  }

  async #firstPut(revision: number): Promise<KeyValue | undefined> {
    let first: KeyValue | undefined;
    const { key, rangeEnd } = wholeLine(linePrefix(this.#name));
    const onEvent = ({ type, kv }: { type: number; kv: KeyValue | undefined }): 'more' | 'done' => {
      if (type === EventEventType.DELETE) return 'more';
      first = kv;
      return 'done';
    };
    const following = { key: keyFromBytes(key), end: keyFromBytes(rangeEnd), startRevision: revision + 1, onEvent };
    await this.#kv.follow(following, this.#call);
    return first;
  }

  async #untilDeleted({ key }: KeyValue, revision: number): Promise<void> {
    await this.#kv.follow(
      {
        key: keyFromBytes(key),
        startRevision: revision + 1,
        onEvent: ({ type, kv }) => {
          if (type === EventEventType.DELETE || kv === undefined) return 'done';
          return this.#send(kv, kv.modRevision) ? 'more' : 'wait';
        },
        onWaiting: (goOn) => {
          this.#goOn = goOn;
        },
      },
      this.#call,
    );
  }

  #send(kv: KeyValue, revision: number): boolean {
    this.#sentRevision = kv.modRevision;
    return this.#stream.send(LeaderResponse.create({ header: this.#headers.header(revision), kv }));
  }
}
