import { type Client, type ClientReadableStream, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Deferred, type Meter, type MetricSpec, silentMeter } from '@quorate/base';
import {
  KvError,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  SnapshotRequest,
  SnapshotResponse,
  StatusRequest,
  StatusResponse,
  services,
} from '@quorate/proto';
import { afterEach, describe, expect, test } from 'vitest';
import { clientVersionGuard, LeaderMonitor, learnerGuard } from './guards.ts';
import { type InstrumentOptions, instrument } from './instrument.ts';
import type { ServiceMethod } from './service.ts';
import { serviceHandlers } from './service-table.ts';
import { callUnary, ManualClock, realClock, Served } from './testing/served.ts';

/** Remembers counters and what histograms observed, by name and labels. */
class MemoryMeter implements Meter {
  readonly counts = new Map<string, number>();
  readonly observed = new Map<string, number[]>();
  gauge = silentMeter.gauge;
  observedGauge = silentMeter.observedGauge;

  counter(spec: MetricSpec): { add(amount?: number): void } {
    const key = keyOf(spec);
    this.counts.set(key, this.counts.get(key) ?? 0);
    return { add: (amount = 1) => void this.counts.set(key, (this.counts.get(key) ?? 0) + amount) };
  }

  histogram(spec: MetricSpec): { observe(value: number): void } {
    const values: number[] = [];
    this.observed.set(keyOf(spec), values);
    return { observe: (value) => void values.push(value) };
  }

  /** The counters that are not 0. */
  get nonZero(): Record<string, number> {
    return Object.fromEntries([...this.counts].filter(([, count]) => count !== 0));
  }
}

function keyOf({ name, labels = {} }: MetricSpec): string {
  return `${name} ${Object.values(labels).join(' ')}`;
}

let served: Served | undefined;
afterEach(async () => {
  await served?.close();
  served = undefined;
});

async function open(methods: readonly ServiceMethod[], options: Partial<InstrumentOptions> = {}): Promise<Client> {
  served = await Served.open(instrument(methods, { meter: silentMeter, guards: [], keepers: [], ...options }));
  return served.client();
}

const same = (bytes: Buffer): Buffer => bytes;
const putPath = services.kv.methods.put.path;
const rangePath = services.kv.methods.range.path;
const statusPath = services.maintenance.methods.status.path;
const snapshotPath = services.maintenance.methods.snapshot.path;
const keepAlivePath = services.lease.methods.leaseKeepAlive.path;
const emptyPut = PutRequest.encode(PutRequest.create());

function metadataOf(values: Record<string, string>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(values)) metadata.set(name, value);
  return metadata;
}

async function failureOf(answer: Promise<unknown>): Promise<ServiceError> {
  return answer.then(
    () => {
      throw new Error('the call succeeded');
    },
    (error: ServiceError) => error,
  );
}

/** Ends of a stream: everything received, and the status it closed with. */
function drainStream(call: ClientReadableStream<Buffer>): Promise<{ messages: number; code: number }> {
  return new Promise((resolve) => {
    let messages = 0;
    call.on('data', () => {
      messages++;
    });
    call.on('error', () => {});
    call.on('status', (end: { code: number }) => resolve({ messages, code: end.code }));
  });
}

describe('counters', () => {
  test('of a unary call: started, received, sent, handled by code', async () => {
    const meter = new MemoryMeter();
    const answers = [
      (reply: { ok(m: PutResponse): void }) => reply.ok(PutResponse.create()),
      () => {
        throw new KvError('noSpace');
      },
    ];
    const client = await open(serviceHandlers(services.kv, { put: (_q, _c, reply) => answers.shift()?.(reply) }), {
      meter,
    });
    await callUnary(client, putPath, emptyPut);
    await failureOf(callUnary(client, putPath, emptyPut));
    expect(meter.nonZero).toEqual({
      'grpc_server_started_total unary etcdserverpb.KV Put': 2,
      'grpc_server_msg_received_total unary etcdserverpb.KV Put': 2,
      'grpc_server_msg_sent_total unary etcdserverpb.KV Put': 1,
      'grpc_server_handled_total unary etcdserverpb.KV Put OK': 1,
      'grpc_server_handled_total unary etcdserverpb.KV Put ResourceExhausted': 1,
    });
  });

  test('exist with 0 for every code before the first call', async () => {
    const meter = new MemoryMeter();
    instrument(serviceHandlers(services.kv, { put: () => {} }), { meter, guards: [], keepers: [] });
    const handled = [...meter.counts].filter(([key]) => key.startsWith('grpc_server_handled_total'));
    expect(handled).toHaveLength(17);
    expect(handled.every(([, count]) => count === 0)).toBe(true);
  });

  test('of a bidirectional stream count its messages and its end', async () => {
    const meter = new MemoryMeter();
    const client = await open(
      serviceHandlers(services.lease, {
        leaseKeepAlive: (requests, _call, stream) => {
          requests.onMessage(({ id }) => stream.send(LeaseKeepAliveResponse.create({ id })));
          requests.onEnd(() => stream.end());
        },
      }),
      { meter },
    );
    const call = client.makeBidiStreamRequest(keepAlivePath, same, same);
    for (const id of [1n, 2n, 3n]) call.write(LeaseKeepAliveRequest.encode({ id }));
    call.end();
    expect(await drainStream(call)).toEqual({ messages: 3, code: status.OK });
    expect(meter.nonZero).toEqual({
      'grpc_server_started_total bidi_stream etcdserverpb.Lease LeaseKeepAlive': 1,
      'grpc_server_msg_received_total bidi_stream etcdserverpb.Lease LeaseKeepAlive': 3,
      'grpc_server_msg_sent_total bidi_stream etcdserverpb.Lease LeaseKeepAlive': 3,
      'grpc_server_handled_total bidi_stream etcdserverpb.Lease LeaseKeepAlive OK': 1,
    });
  });

  test('of a stream its client cancels say Canceled', async () => {
    const meter = new MemoryMeter();
    const cancelled = new Deferred<void>();
    const client = await open(
      serviceHandlers(services.maintenance, {
        snapshot: (_request, call, stream) => {
          call.onCancel(cancelled.resolve);
          stream.send(SnapshotResponse.create());
        },
      }),
      { meter },
    );
    const call = client.makeServerStreamRequest(snapshotPath, same, same, SnapshotRequest.encode({}));
    call.on('error', () => {});
    call.on('data', () => call.cancel());
    await cancelled.promise;
    expect(meter.nonZero).toMatchObject({
      'grpc_server_msg_received_total server_stream etcdserverpb.Maintenance Snapshot': 1,
      'grpc_server_msg_sent_total server_stream etcdserverpb.Maintenance Snapshot': 1,
      'grpc_server_handled_total server_stream etcdserverpb.Maintenance Snapshot Canceled': 1,
    });
  });

  test('of a stream whose handler throws say its code, and the handler is told to let go', async () => {
    const meter = new MemoryMeter();
    const events: string[] = [];
    const client = await open(
      serviceHandlers(services.lease, {
        leaseKeepAlive: (requests, call) => {
          call.onCancel(() => events.push('let go'));
          requests.onMessage(() => {
            events.push('message');
            throw new KvError('stopped');
          });
        },
      }),
      { meter },
    );
    const call = client.makeBidiStreamRequest(keepAlivePath, same, same);
    call.write(LeaseKeepAliveRequest.encode({ id: 1n }));
    call.write(LeaseKeepAliveRequest.encode({ id: 2n }));
    expect(await drainStream(call)).toEqual({ messages: 0, code: status.UNAVAILABLE });
    expect(events).toEqual(['message', 'let go']);
    expect(meter.nonZero).toMatchObject({
      'grpc_server_handled_total bidi_stream etcdserverpb.Lease LeaseKeepAlive Unavailable': 1,
    });
  });

  test('time calls only when asked to', async () => {
    const meter = new MemoryMeter();
    const client = await open(
      serviceHandlers(services.kv, { put: (_q, _c, reply) => reply.ok(PutResponse.create()) }),
      {
        meter,
        handlingClock: realClock,
      },
    );
    await callUnary(client, putPath, emptyPut);
    expect(meter.observed.get('grpc_server_handling_seconds unary etcdserverpb.KV Put')).toHaveLength(1);
  });
});

describe('guards', () => {
  const kv = serviceHandlers(services.kv, {
    put: (_request, _call, reply) => reply.ok(PutResponse.create()),
    range: (_request, _call, reply) => reply.ok(RangeResponse.create()),
  });
  const maintenance = serviceHandlers(services.maintenance, {
    status: (_request, _call, reply) => reply.ok(StatusResponse.create()),
    snapshot: (_request, _call, stream) => stream.end(),
  });
  const lease = serviceHandlers(services.lease, { leaseKeepAlive: (_requests, _call, stream) => stream.sendHeaders() });
  const methods = [...kv, ...maintenance, ...lease];

  test('a learner serves serializable reads, its status and its snapshot, and nothing else', async () => {
    let learner = true;
    const client = await open(methods, { guards: [learnerGuard(() => learner)] });
    const range = (serializable: boolean) =>
      callUnary(client, rangePath, RangeRequest.encode(RangeRequest.create({ serializable })));
    await range(true);
    await callUnary(client, statusPath, StatusRequest.encode({}));
    const snapshot = client.makeServerStreamRequest(snapshotPath, same, same, SnapshotRequest.encode({}));
    expect((await drainStream(snapshot)).code).toBe(status.OK);

    const refused = { code: status.FAILED_PRECONDITION, details: 'etcdserver: rpc not supported for learner' };
    expect(await failureOf(range(false))).toMatchObject(refused);
    expect(await failureOf(callUnary(client, putPath, emptyPut))).toMatchObject(refused);
    const keepAlive = client.makeBidiStreamRequest(keepAlivePath, same, same);
    expect((await drainStream(keepAlive)).code).toBe(status.FAILED_PRECONDITION);

    learner = false;
    await callUnary(client, putPath, emptyPut);
  });

  test('client versions are counted by type, and beyond 64 of them as other', async () => {
    const meter = new MemoryMeter();
    const client = await open(methods, { guards: [clientVersionGuard(meter)] });
    await callUnary(client, putPath, emptyPut);
    await callUnary(client, putPath, emptyPut, metadataOf({ 'client-api-version': '3.6.1' }));
    await drainStream(client.makeServerStreamRequest(snapshotPath, same, same, SnapshotRequest.encode({})));
    for (let i = 0; i < 70; i++) {
      await callUnary(client, putPath, emptyPut, metadataOf({ 'client-api-version': `v${i}` }));
    }
    expect(meter.nonZero).toMatchObject({
      'etcd_server_client_requests_total unary unknown': 1,
      'etcd_server_client_requests_total unary 3.6.1': 1,
      'etcd_server_client_requests_total stream unknown': 1,
      'etcd_server_client_requests_total unary v61': 1,
      'etcd_server_client_requests_total unary other': 8,
    });
  });

  test('without a leader, calls that ask for one are refused and others are not', async () => {
    const monitor = new LeaderMonitor({ clock: new ManualClock(), electionMs: 1_000, hasLeader: () => false });
    const client = await open(methods, { guards: [monitor.guard] });
    const refused = await failureOf(callUnary(client, putPath, emptyPut, metadataOf({ hasleader: 'true' })));
    expect(refused).toMatchObject({ code: status.UNAVAILABLE, details: 'etcdserver: no leader' });
    await callUnary(client, putPath, emptyPut);
    await callUnary(client, putPath, emptyPut, metadataOf({ hasleader: 'false' }));
  });

  test('streams that ask for a leader end after three election time-outs without one, others stay', async () => {
    const clock = new ManualClock();
    let hasLeader = true;
    const monitor = new LeaderMonitor({ clock, electionMs: 1_000, hasLeader: () => hasLeader });
    monitor.start();
    const letGo: string[] = [];
    const opened = new Deferred<void>();
    let streams = 0;
    const client = await open(
      serviceHandlers(services.lease, {
        leaseKeepAlive: (_requests, call, stream) => {
          const name = call.metadata.get('name') ?? '';
          call.onCancel(() => letGo.push(name));
          stream.sendHeaders();
          if (++streams === 2) opened.resolve();
        },
      }),
      { guards: [monitor.guard], keepers: [monitor] },
    );
    const asks = client.makeBidiStreamRequest(
      keepAlivePath,
      same,
      same,
      metadataOf({ hasleader: 'true', name: 'asks' }),
    );
    const stays = client.makeBidiStreamRequest(keepAlivePath, same, same, metadataOf({ name: 'stays' }));
    const asksEnd = drainStream(asks);
    stays.on('error', () => {});
    await opened.promise;
    hasLeader = false;
    clock.advance(1_000);
    clock.advance(1_000);
    hasLeader = true;
    clock.advance(1_000);
    hasLeader = false;
    clock.advance(1_000);
    clock.advance(1_000);
    expect(letGo).toEqual([]);
    clock.advance(1_000);
    expect(letGo).toEqual(['asks']);
    expect((await asksEnd).code).toBe(status.UNAVAILABLE);
    monitor.stop();
  });
});
