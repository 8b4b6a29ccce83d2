/**
 * One story told to kvd and to a real etcd over raw Watch streams and over etcdctl's watch: both must answer the same, message by
 * message. Ids of cluster and member and the term are left out.
 */
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import {
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  services,
  TxnRequest,
  WatchCancelRequest,
  WatchCreateRequest,
  WatchCreateRequestFilterType,
  WatchProgressRequest,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { neutralEnvironment, runBytes } from '../support/byte-command.ts';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const installations = installedEtcds();
const oracle = installations.at(-1);
const path = services.watch.methods.watch.path;

/** One Watch stream and everything it answered. */
class RawWatch {
  readonly responses: WatchResponse[] = [];
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<WatchRequest, WatchResponse>;

  constructor(endpoint: string, headers: Readonly<Record<string, string>> = {}) {
    this.#client = new Client(endpoint, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const encode = (request: WatchRequest): Buffer => WatchRequest.encode(request);
    this.#stream = this.#client.makeBidiStreamRequest(path, encode, WatchResponse.decode, metadata);
    this.#stream.on('data', (response: WatchResponse) => this.responses.push(response));
    this.#stream.on('error', () => {
      // Cancelled at the end of the test; whoever waits for more says so.
    });
  }

  create(init: Partial<WatchCreateRequest>): void {
    this.send({ createRequest: WatchCreateRequest.create(init) });
  }

  send(init: Partial<WatchRequest>): void {
    this.#stream.write(WatchRequest.create(init));
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(): void {
    this.#stream.end();
  }

  answered(count: number): Promise<unknown> {
    return waitFor(`${count} responses`, 30_000, async () => (this.responses.length >= count ? true : undefined));
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }
}

interface Side {
  readonly raw: RawClient;
  readonly endpoint: string;
}

const b = (text: string): Buffer => Buffer.from(text, 'latin1');

function leveled(responses: readonly WatchResponse[]): unknown[] {
  return responses.map((response) => ({
    ...WatchResponse.create(response),
    header: { revision: response.header?.revision },
    events: response.events.map(({ type, kv, prevKv }) => [
      type,
      ...[kv, prevKv].map((one) => one && { ...one, key: one.key.toString('latin1'), value: String(one.value) }),
    ]),
  }));
}

async function remove(raw: RawClient, key: string): Promise<void> {
  await raw.call(services.kv.methods.deleteRange, DeleteRangeRequest.create({ key: b(key) }));
}

async function txn(raw: RawClient, ...keys: string[]): Promise<void> {
  const success = keys.map((key) =>
    RequestOp.create({ requestPut: PutRequest.create({ key: b(key), value: Buffer.alloc(700_000, key) }) }),
  );
  await raw.call(services.kv.methods.txn, TxnRequest.create({ success }));
}

describe.runIf(oracle !== undefined)('watches answer as those of etcd', () => {
  const sides: Side[] = [];
  let cluster: KvdCluster;
  let etcd: EtcdProcess;
  beforeAll(async () => {
    cluster = await KvdCluster.start(1, [
      '--watch-progress-notify-interval',
      '200ms',
      '--max-request-bytes',
      '4000000',
    ]);
    const interval =
      oracle!.minor === '3.6' ? 'watch-progress-notify-interval' : 'experimental-watch-progress-notify-interval';
    const hasInterval = oracle!.minor !== '3.4';
    etcd = await EtcdProcess.start({
      installation: oracle!,
      flags: ['--max-request-bytes', '4000000', ...(hasInterval ? [`--${interval}`, '200ms'] : [])],
    });
    for (const endpoint of [cluster.endpoints[0]!, etcd.endpoint])
      sides.push({ endpoint, raw: new RawClient(endpoint) });
  });
  afterAll(async () => {
    for (const { raw } of sides) raw.close();
    await cluster?.close();
    etcd?.stop();
  });

  /** Runs `story` on both; its responses, leveled, must be equal. Returns ours. */
  async function same(story: (watch: RawWatch, raw: RawClient) => Promise<void>): Promise<WatchResponse[]> {
    const told = await Promise.all(
      sides.map(async ({ endpoint, raw }) => {
        const watch = new RawWatch(endpoint);
        try {
          await story(watch, raw);
          return watch.responses;
        } finally {
          watch.close();
        }
      }),
    );
    expect(leveled(told[0]!)).toEqual(leveled(told[1]!));
    return told[0]!;
  }

  test('keys, ranges, prefixes and everything, from now on', () =>
    same(async (watch, raw) => {
      watch.create({ key: b('k1') });
      watch.create({ key: b('k'), rangeEnd: b('l') });
      watch.create({ key: b('k2'), rangeEnd: b('\0') });
      watch.create({});
      watch.create({ key: b(''), rangeEnd: b('\0') });
      await watch.answered(5);
      await raw.put('k1', 'one');
      await watch.answered(8);
      watch.responses.push(...watch.responses.splice(5).sort((x, y) => Number(x.watchId - y.watchId)));
    }));

  test('one revision after another, deletes, previous records and filters', () =>
    same(async (watch, raw) => {
      watch.create({ key: b('k2'), prevKv: true });
      await watch.answered(1);
      await raw.put('k2', 'one');
      await raw.put('k2', 'two');
      await remove(raw, 'k2');
      await watch.answered(4);
      watch.create({ key: b('k2'), filters: [WatchCreateRequestFilterType.NOPUT], startRevision: 3 });
      await watch.answered(6);
      watch.create({ key: b('k2'), filters: [WatchCreateRequestFilterType.NODELETE], startRevision: 3, prevKv: true });
      await watch.answered(8);
    }));

  test('ids that clients choose, free ones and taken ones', () =>
    same(async (watch) => {
      for (const watchId of [0n, 1n, 0n, 1n, 7n, 0n, -9n]) watch.create({ key: b('k'), watchId });
      await watch.answered(7);
      watch.send({ cancelRequest: WatchCancelRequest.create({ watchId: 0n }) });
      watch.send({ cancelRequest: WatchCancelRequest.create({ watchId: 0n }) });
      watch.send({ cancelRequest: WatchCancelRequest.create({ watchId: 99n }) });
      watch.send({ cancelRequest: WatchCancelRequest.create({ watchId: 7n }) });
      await watch.answered(9);
      watch.create({ key: b('k'), watchId: 7n });
      await watch.answered(10);
    }));

  test('ranges that are empty', () =>
    same(async (watch) => {
      watch.create({ key: b('k'), rangeEnd: b('k') });
      watch.create({ key: b('k'), rangeEnd: b('a') });
      watch.send({});
      watch.create({ key: b('k'), rangeEnd: b('k\0') });
      await watch.answered(3);
    }));

  test('a start below zero', () =>
    same(async (watch) => {
      watch.create({ key: b('k'), startRevision: -1 });
      await watch.answered(1);
    }));

  test('a start in the future', () =>
    same(async (watch, raw) => {
      const { header } = await raw.range({ key: b('k') });
      watch.create({ key: b('f'), startRevision: header!.revision + 2 });
      await watch.answered(1);
      for (const value of ['1', '2', '3']) await raw.put('f', value);
      await watch.answered(3);
    }));

  test('a start before, at and after the compact revision', () =>
    same(async (watch, raw) => {
      await raw.put('c', '1');
      await remove(raw, 'c');
      const { header } = await raw.put('other', '2');
      const deleted = header!.revision - 1;
      await raw.compact(deleted);
      watch.create({ key: b('c'), startRevision: deleted - 1 });
      await watch.answered(2);
      watch.create({ key: b('c'), startRevision: deleted, prevKv: true });
      await watch.answered(4);
      watch.create({ key: b('c'), startRevision: 1 });
      await watch.answered(6);
    }));

  test('a request for progress, with watches and without', () =>
    same(async (watch, raw) => {
      watch.send({ progressRequest: WatchProgressRequest.create() });
      watch.create({ key: b('p') });
      await watch.answered(1);
      await raw.put('p', '1');
      await watch.answered(2);
      watch.send({ progressRequest: WatchProgressRequest.create() });
      await watch.answered(3);
    }));

  test.runIf(oracle?.minor !== '3.4')('idle watches that asked for it are told how far they are', async () => {
    const responses = await same(async (watch, raw) => {
      watch.create({ key: b('idle'), progressNotify: true });
      watch.create({ key: b('idle') });
      await raw.put('busy', '1');
      await watch.answered(4);
      watch.responses.splice(4);
      // The put may come before or after the answers.
      for (const { header } of watch.responses.slice(0, 2)) header!.revision = 0;
    });
    expect(responses.map(({ watchId }) => watchId)).toEqual([0n, 1n, 0n, 0n]);
  });

  test('large revisions come in fragments to those who asked, and whole to others', async () => {
    const keys = ['big/1', 'big/2', 'big/3', 'big/4', 'big/5'];
    const responses = await same(async (watch, raw) => {
      await txn(raw, ...keys);
      watch.create({ key: b('big/'), rangeEnd: b('big0'), prevKv: true, fragment: true });
      await watch.answered(1);
      await txn(raw, ...keys);
      await watch.answered(3);
      const { revision } = watch.responses[1]!.header!;
      watch.create({ key: b('big/'), rangeEnd: b('big0'), prevKv: true, startRevision: revision });
      await watch.answered(5);
    });
    expect(responses.map(({ events, fragment }) => [events.length, fragment])).toEqual([
      [0, false],
      [3, true],
      [2, false],
      [0, false],
      [5, false],
    ]);
  });

  test('a client that closes its side still gets events', () =>
    same(async (watch, raw) => {
      watch.create({ key: b('half') });
      await watch.answered(1);
      watch.end();
      await raw.put('half', '1');
      await watch.answered(2);
    }));

  test.each([
    { args: ['w', '--rev', '1'] },
    { args: ['w/', '--prefix', '--rev', '1'] },
    { args: ['w/', '--prefix', '--rev', '1', '--prev-kv', '-w', 'fields'] },
    { args: ['w/a', 'w/b', '--rev', '1'] },
    { args: ['--rev', '1', 'w/a', '--', 'sh', '-c', 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY'] },
  ])('etcdctl watch $args', async ({ args }) => {
    const outputs = await Promise.all(
      sides.map(async ({ endpoint, raw }) => {
        const rev = (await raw.put('w/a', args.join(' '))).header!.revision;
        await raw.put('w/ab', '2');
        await remove(raw, 'w/a');
        await raw.put('w', '4');
        const from = args.map((arg) => (arg === '1' ? String(rev) : arg));
        const command = [oracle!.etcdctl, '--endpoints', endpoint, 'watch', ...from];
        const env = { ...neutralEnvironment(), ETCDCTL_API: '3' };
        const { stdout } = await runBytes(['timeout', '2', ...command], { env });
        return stdout.replace(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : ?');
      }),
    );
    expect(outputs[0]).not.toBe('');
    expect(outputs[0]).toEqual(outputs[1]);
  });

  test('a client that does not read for a while misses nothing, and others do not wait for it', async () => {
    const [{ endpoint, raw }] = sides as [Side, Side];
    const [slow, quick] = [new RawWatch(endpoint), new RawWatch(endpoint)];
    for (const watch of [slow, quick]) {
      watch.create({ key: b('s/'), rangeEnd: b('s0') });
      await watch.answered(1);
    }
    const keysOf = (watch: RawWatch): string[] =>
      watch.responses.flatMap(({ events }) => events.map(({ kv }) => kv!.key.toString()));
    slow.pause();
    const value = Buffer.alloc(50_000, 'x');
    for (let i = 0; i < 200; i++) await raw.put(`s/${i}`, value);
    // A watch that was behind for a moment is given several revisions in one response.
    const given = (watch: RawWatch): Promise<unknown> =>
      waitFor('all events', 30_000, async () => (keysOf(watch).length >= 200 ? true : undefined));
    await given(quick);
    slow.resume();
    await given(slow);
    expect(keysOf(slow)).toEqual(keysOf(quick));
    for (const watch of [slow, quick]) watch.close();
  });
});

if (oracle === undefined) test.skip('needs etcd and etcdctl, which are not installed here', () => {});
