/** One call, one answer, no retry: what a test needs to know exactly what was acknowledged. */
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  type Codec,
  CompactionRequest,
  type CompactionResponse,
  DefragmentRequest,
  type DefragmentResponse,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  HashKVRequest,
  type HashKVResponse,
  type KeyValue,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  MoveLeaderRequest,
  type MoveLeaderResponse,
  PutRequest,
  type PutResponse,
  RangeRequest,
  type RangeResponse,
  RequestOp,
  StatusRequest,
  type StatusResponse,
  services,
  TxnRequest,
  type TxnResponse,
} from '@quorate/proto';

interface Method<Req, Res> {
  readonly path: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
}

export class RawClient {
  readonly endpoint: string;
  readonly #client: Client;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
    this.#client = new Client(endpoint, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Resolves when there is a connection. A member that was started again may be listening before a client tries it again. */
  ready(limitMs = 10_000): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + limitMs, (error) => (error ? reject(error) : resolve()));
    });
  }

  call<Req, Res>(method: Method<Req, Res>, request: Req, timeoutMs = 10_000): Promise<Res> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        (message: Req) => method.request.encode(message),
        (bytes: Buffer) => method.response.decode(bytes),
        request,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, response?: Res) => (error === null ? resolve(response!) : reject(error)),
      );
    });
  }

  put(key: string, value: string | Buffer, timeoutMs?: number): Promise<PutResponse> {
    const request = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) });
    return this.call(services.kv.methods.put, request, timeoutMs);
  }

  /** All pairs at one revision. */
  putAll(pairs: readonly (readonly [key: string, value: string])[], timeoutMs?: number): Promise<TxnResponse> {
    const success = pairs.map(([key, value]) =>
      RequestOp.create({ requestPut: PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) }) }),
    );
    return this.call(services.kv.methods.txn, TxnRequest.create({ success }), timeoutMs);
  }

  delete(key: string, timeoutMs?: number): Promise<DeleteRangeResponse> {
    const request = DeleteRangeRequest.create({ key: Buffer.from(key) });
    return this.call(services.kv.methods.deleteRange, request, timeoutMs);
  }

  range(request: Partial<RangeRequest>, timeoutMs?: number): Promise<RangeResponse> {
    return this.call(services.kv.methods.range, RangeRequest.create(request), timeoutMs);
  }

  /** One renewal on a stream of its own; resolves with the seconds it was renewed for. */
  keepAlive(id: bigint): Promise<number> {
    const { path } = services.lease.methods.leaseKeepAlive;
    return new Promise((resolve, reject) => {
      const call = this.#client.makeBidiStreamRequest(
        path,
        (message: LeaseKeepAliveRequest) => LeaseKeepAliveRequest.encode(message),
        (bytes: Buffer) => LeaseKeepAliveResponse.decode(bytes),
        new Metadata(),
        { deadline: Date.now() + 10_000 },
      );
      call.on('data', (response: LeaseKeepAliveResponse) => {
        resolve(response.ttl);
        call.end();
      });
      call.on('error', reject);
      call.write(LeaseKeepAliveRequest.create({ id }));
    });
  }

  status(timeoutMs?: number): Promise<StatusResponse> {
    return this.call(services.maintenance.methods.status, StatusRequest.create(), timeoutMs);
  }

  /** Resolves when this member sees `memberId` lead; only the leader can be asked. */
  moveLeader(memberId: bigint): Promise<MoveLeaderResponse> {
    return this.call(services.maintenance.methods.moveLeader, MoveLeaderRequest.create({ targetID: memberId }));
  }

  hashKv(revision = 0): Promise<HashKVResponse> {
    return this.call(services.maintenance.methods.hashKV, HashKVRequest.create({ revision }));
  }

  defragment(timeoutMs?: number): Promise<DefragmentResponse> {
    return this.call(services.maintenance.methods.defragment, DefragmentRequest.create(), timeoutMs);
  }

  compact(revision: number): Promise<CompactionResponse> {
    return this.call(services.kv.methods.compact, CompactionRequest.create({ revision }));
  }

  /** Every key and value at one revision, read from this member alone, in pages. */
  async everything(revision = 0): Promise<KeyValue[]> {
    const all: KeyValue[] = [];
    let key = Buffer.from([0]);
    for (;;) {
      const page = await this.range({ key, rangeEnd: Buffer.from([0]), limit: 5_000, revision, serializable: true });
      all.push(...page.kvs);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return all;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  close(): void {
    this.#client.close();
  }
}
