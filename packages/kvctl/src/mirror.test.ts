import { op } from '@quorate/client';
import {
  Event,
  EventEventType,
  KeyValue,
  kvService,
  RangeRequest,
  Status,
  TxnRequest,
  TxnResponse,
  type WatchCreateRequest,
  watchService,
} from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { MirrorWriter } from './mirror-writer.ts';
import { FakeWorld, type Outcome } from './testing/fake-io.ts';

const { range, txn } = kvService.methods;
const header = { clusterId: 1n, memberId: 2n, revision: 9, raftTerm: 4 };
const source = 'src:1';
const target = 'dst:1';

const kv = (key: string, value: string, modRevision: number): KeyValue =>
  KeyValue.create({ key: Buffer.from(key), value: Buffer.from(value), modRevision });
const put = (key: string, value: string, revision: number): Event => Event.create({ kv: kv(key, value, revision) });
const del = (key: string, revision: number): Event =>
  Event.create({ type: EventEventType.DELETE, kv: kv(key, '', revision) });

interface Mirrored extends Outcome {
  /** What was written, one entry per transaction: `key=value`, `-key`. */
  readonly written: string[][];
  readonly watched: WatchCreateRequest[];
}

/** Two keys that were there, and then these changes, after which history is compacted away. */
async function mirrored(line: string, events: readonly Event[] = []): Promise<Mirrored> {
  const watched: WatchCreateRequest[] = [];
  const world = new FakeWorld()
    .answer(range, { header, kvs: [kv('m/a', '1', 3), kv('m/b', '2', 4)], count: 2 }, source)
    .answer(txn, { header, succeeded: true }, target)
    .stream(watchService.methods.watch, ({ createRequest }, answering) => {
      if (createRequest === undefined) return;
      expect(answering.endpoint).toBe(source);
      watched.push(createRequest);
      answering.send({ header, watchId: 0n, created: true });
      if (events.length > 0) answering.send({ header: { ...header, revision: 30 }, watchId: 0n, events: [...events] });
      answering.send({ header, watchId: 0n, canceled: true, compactRevision: 40 });
    });
  const outcome = await world.run(`--endpoints ${source} make-mirror ${line}`);
  const written = outcome.asked
    .filter(({ path }) => path === txn.path)
    .map(({ endpoint, request }) => {
      expect(endpoint).toBe(target);
      return TxnRequest.decode(request).success.map(({ requestPut, requestDeleteRange }) =>
        requestPut === undefined ? `-${requestDeleteRange!.key}` : `${requestPut.key}=${requestPut.value}`,
      );
    });
  return { ...outcome, written, watched };
}

describe('make-mirror', () => {
  test('copies keys, then their changes, each revision at once, until history is lost', async () => {
    const changes = [put('m/c', '3', 10), del('m/a', 10), put('m/c', '4', 11)];
    const { code, stderr, written, asked, watched } = await mirrored(`--prefix m/ ${target}`, changes);
    expect([code, stderr]).toEqual([1, 'Error: etcdserver: mvcc: required revision has been compacted\n']);
    expect(written).toEqual([['m/a=1', 'm/b=2'], ['m/c=3', '-m/a'], ['m/c=4']]);
    expect(RangeRequest.decode(asked[0]!.request)).toMatchObject({
      key: Buffer.from('m/'),
      rangeEnd: Buffer.from('m0'),
    });
    expect(watched).toMatchObject([{ key: Buffer.from('m/'), startRevision: 10 }]);
  });

  test.each([
    [`--prefix m/ --dest-prefix d/ ${target}`, ['d/a=1', 'd/b=2']],
    [`--prefix m/ --no-dest-prefix ${target}`, ['a=1', 'b=2']],
    [`--prefix m/ --no-dest-prefix=false ${target}`, ['m/a=1', 'm/b=2']],
    [`--dest-prefix d/ ${target}`, ['d/m/a=1', 'd/m/b=2']],
    [target, ['m/a=1', 'm/b=2']],
  ])('%s', async (line, first) => {
    const { written } = await mirrored(line);
    expect(written).toEqual([first]);
  });

  test('with --rev only changes from there on', async () => {
    const { written, watched } = await mirrored(`--rev 7 ${target}`, [put('x', '1', 7)]);
    expect(written).toEqual([['x=1']]);
    expect(watched[0]!.startRevision).toBe(7);
    expect((await mirrored(`--rev 1 ${target}`)).written).toEqual([['m/a=1', 'm/b=2']]);
  });

  test('splits what is too much for one transaction', async () => {
    const { written } = await mirrored(`--max-txn-ops 1 ${target}`, [put('x', '1', 10), put('y', '2', 10)]);
    expect(written).toEqual([['m/a=1'], ['m/b=2'], ['x=1'], ['y=2']]);
  });

  test('stops at a write that is refused', async () => {
    const refusing = new FakeWorld()
      .answer(range, { header, kvs: [kv('a', '1', 3)], count: 1 }, source)
      .refuse(txn, Status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded', target);
    expect(await refusing.run(`--endpoints ${source} make-mirror ${target}`)).toMatchObject({
      code: 1,
      stderr: 'Error: etcdserver: mvcc: database space exceeded\n',
    });
  });

  test.each([
    ['', 'make-mirror takes one destination argument'],
    ['a:1 b:1', 'make-mirror takes one destination argument'],
    [
      '--dest-prefix x --no-dest-prefix a:1',
      '`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one',
    ],
    ['--dest-cert c a:1', 'KeyFile and CertFile must both be present[key: , cert: c]'],
    ['--dest-cacert /none a:1', 'open /none: no such file or directory'],
  ])('%j is refused', async (line, message) => {
    expect(await mirrored(line)).toMatchObject({ code: 128, stderr: `Error: ${message}\n`, written: [] });
  });
});

describe('transactions of a mirror', () => {
  async function sizes(opsMax: number, values: readonly number[]): Promise<number[]> {
    const counts: number[] = [];
    const writer = new MirrorWriter(
      {
        txn: async ({ success = [] }) => {
          counts.push(success.length);
          return TxnResponse.create();
        },
      },
      opsMax,
    );
    await writer.write(values.map((size, i) => op.put(String(i), Buffer.alloc(size))));
    expect(writer.written).toBe(values.length);
    return counts;
  }

  test('have at most so many changes', async () => {
    expect(await sizes(128, new Array(300).fill(1))).toEqual([128, 128, 44]);
    expect(await sizes(128, [])).toEqual([]);
  });

  test('have at most so many bytes, but for one that is larger by itself', async () => {
    const half = 256 * 1_024 - 10;
    expect(await sizes(128, [half, half, half, 1_000_000, 1, half])).toEqual([2, 1, 1, 2]);
  });
});
