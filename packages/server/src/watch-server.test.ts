/** The Watch service over a store in memory: what clients are sent, in which order, and what a client that does not read is spared. */
import { MemoryBackendFactory } from '@quorate/backend';
import { noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import { noLeases, Store, WatchHub } from '@quorate/mvcc';
import {
  EventEventType,
  KvError,
  WatchCreateRequest,
  WatchCreateRequestFilterType,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import type { ClientStream, ServerCall, ServerStream } from '@quorate/rpc';
import { crc32c } from '@quorate/wal';
import { beforeEach, describe, expect, test } from 'vitest';
import { HeaderSource } from './header.ts';
import { ManualClock } from './testing/manual-clock.ts';
import { WatchServer } from './watch-server.ts';

const intervalMs = 1_000;
/** With what the service adds, responses are split at a little over 512 KiB. */
const maxRequestBytes = 1;

let clock: ManualClock;
let store: Store;
let hub: WatchHub;
let server: WatchServer;

beforeEach(async () => {
  clock = new ManualClock();
  const backend = await new MemoryBackendFactory().open('db');
  const onFatal = (error: unknown): never => {
    throw error;
  };
  let opened: Store | undefined;
  const common = { clock, logger: silentLogger, meter: silentMeter, onFatal };
  void Store.open({ ...common, backend, crash: noCrashPoints, leases: noLeases, checksum: crc32c }).then((found) => {
    opened = found;
  });
  while (opened === undefined) {
    clock.advance(1);
    await Promise.resolve();
  }
  store = opened;
  hub = new WatchHub(common);
  hub.attach(store);
  const headers = new HeaderSource(7n, 8n);
  server = new WatchServer({
    clock,
    random: new SeededRandom(1),
    headers,
    hub,
    maxRequestBytes,
    progressIntervalMs: intervalMs,
  });
});

function put(...pairs: readonly (readonly [key: string, value: string])[]): void {
  const txn = store.write();
  for (const [key, value] of pairs) txn.put(key, Buffer.from(value), 0n);
  txn.end();
}

function remove(key: string): void {
  const txn = store.write();
  txn.deleteRange(key, undefined);
  txn.end();
}

/** A client's end of a stream. */
class Ends {
  readonly sent: Buffer[] = [];
  isPaused = false;
  takesMore = true;
  failure: unknown;
  #take: (request: WatchRequest) => void = () => {};
  #cancelled: () => void = () => {};
  #drained: () => void = () => {};

  constructor() {
    const requests: ClientStream<WatchRequest> = {
      onMessage: (fn) => (this.#take = fn),
      onEnd: () => {},
      pause: () => (this.isPaused = true),
      resume: () => (this.isPaused = false),
    };
    const call = { onCancel: (fn: () => void) => (this.#cancelled = fn) } as unknown as ServerCall;
    const stream = {
      sendHeaders: () => {},
      onDrain: (fn: () => void) => (this.#drained = fn),
      sendEncoded: (bytes: Buffer) => {
        this.sent.push(bytes);
        return this.takesMore;
      },
      fail: (error: unknown) => (this.failure = error),
    } as unknown as ServerStream<WatchResponse>;
    server.watch(requests, call, stream);
  }

  create(init: Partial<Omit<WatchCreateRequest, 'key' | 'rangeEnd'>> & { key: string; end?: string }): void {
    const { key, end = '', ...rest } = init;
    const bytes = { key: Buffer.from(key, 'latin1'), rangeEnd: Buffer.from(end, 'latin1') };
    this.send({ createRequest: WatchCreateRequest.create({ ...rest, ...bytes }) });
  }

  send(init: Partial<WatchRequest>): void {
    this.#take(WatchRequest.create(init));
  }

  drain(): void {
    this.takesMore = true;
    this.#drained();
    clock.advance(0);
  }

  cancel(): void {
    this.#cancelled();
  }

  /** Each response in a line, and forgets them. */
  lines(): string[] {
    return this.sent.splice(0).map((bytes) => lineOf(WatchResponse.decode(bytes)));
  }
}

function lineOf(response: WatchResponse): string {
  const { header, watchId, created, canceled, compactRevision, cancelReason, fragment, events } = response;
  const words = [`${watchId}@${header!.revision}`];
  if (created) words.push('created');
  if (canceled) words.push('canceled');
  if (compactRevision > 0) words.push(`compacted ${compactRevision}`);
  if (cancelReason !== '') words.push(cancelReason);
  if (fragment) words.push('fragment');
  for (const { type, kv, prevKv } of events) {
    const before = prevKv === undefined ? '' : `<${prevKv.value.toString().slice(0, 5)}`;
    words.push(`${type === EventEventType.DELETE ? '-' : ''}${kv!.key}=${kv!.value.toString().slice(0, 5)}${before}`);
  }
  return words.join(' ');
}

describe('a watch', () => {
  test('is created, given events, and cancelled, under the revision of each moment', () => {
    const ends = new Ends();
    ends.create({ key: 'a', end: 'c', prevKv: true });
    put(['a', '1'], ['b', '2'], ['c', '3']);
    remove('a');
    ends.send({ cancelRequest: { watchId: 0n } });
    ends.send({ cancelRequest: { watchId: 0n } });
    put(['a', '4']);
    expect(ends.lines()).toEqual(['0@1 created', '0@2 a=1 b=2', '0@3 -a=<1', '0@3 canceled']);
  });

  test('of the past is created before its first event', () => {
    put(['a', '1']);
    const ends = new Ends();
    ends.create({ key: 'a', startRevision: 1 });
    clock.advance(0);
    expect(ends.lines()).toEqual(['0@2 created', '0@2 a=1']);
  });

  test('of the empty key is one of the first key there can be', () => {
    const ends = new Ends();
    ends.create({ key: '' });
    ends.create({ key: '', end: '\0' });
    put(['\0', '1'], ['a', '2']);
    expect(ends.lines().slice(2)).toEqual(['0@2 \0=1', '1@2 \0=1 a=2']);
  });

  test('leaves out what its filters exclude', () => {
    const ends = new Ends();
    ends.create({ key: 'a', filters: [WatchCreateRequestFilterType.NOPUT] });
    ends.create({ key: 'a', filters: [WatchCreateRequestFilterType.NODELETE] });
    put(['a', '1']);
    remove('a');
    expect(ends.lines().slice(2)).toEqual(['1@2 a=1', '0@3 -a=']);
  });

  test('ends with the compact revision when compaction has passed what it waits for', () => {
    for (const value of ['1', '2', '3']) put(['a', value]);
    store.compact(3);
    const ends = new Ends();
    ends.create({ key: 'a', startRevision: 2 });
    clock.advance(0);
    expect(ends.lines()).toEqual(['0@4 created', '0@0 canceled compacted 3']);
  });

  test('is encoded once for all streams that are given the same', () => {
    const streams = Array.from({ length: 3 }, () => new Ends());
    for (const ends of streams) ends.create({ key: 'a' });
    put(['a', '1']);
    const [first, ...others] = streams.map((ends) => ends.sent.at(-1));
    for (const other of others) expect(other).toBe(first);
  });
});

test('B42, B45: refusals leave the other watches of the stream alone, ids are any, and counters end at 0', () => {
  const ends = new Ends();
  ends.create({ key: 'a', watchId: 5n });
  ends.create({ key: 'a', watchId: 5n });
  ends.create({ key: 'a', startRevision: -1 });
  ends.create({ key: 'b', end: 'a' });
  ends.create({ key: 'a' });
  put(['a', '1']);
  const refused = '-1@1 created canceled';
  const lines = ends.lines();
  expect(lines.filter((line) => line.startsWith(refused))).toHaveLength(3);
  expect(lines.filter((line) => !line.startsWith(refused))).toEqual([
    '5@1 created',
    '0@1 created',
    '5@2 a=1',
    '0@2 a=1',
  ]);
  ends.send({ cancelRequest: { watchId: 0n } });
  ends.send({ cancelRequest: { watchId: 5n } });
  expect([hub.watcherCount, hub.streamCount]).toEqual([0, 1]);
  ends.cancel();
  ends.cancel();
  expect([hub.watcherCount, hub.streamCount, hub.slowCount]).toEqual([0, 0, 0]);
});

describe('what is larger than a message may be', () => {
  const large = ['a', 'b', 'c'].map((key) => [key, key.repeat(300_000)] as const);

  test('comes in fragments to who asked for them, all but the last marked', () => {
    const ends = new Ends();
    ends.create({ key: 'a', end: 'd', fragment: true });
    ends.create({ key: 'a', end: 'd' });
    put(...large);
    put(['a', '1']);
    expect(ends.lines().slice(2)).toEqual([
      '0@2 fragment a=aaaaa',
      '0@2 fragment b=bbbbb',
      '0@2 c=ccccc',
      '1@2 a=aaaaa b=bbbbb c=ccccc',
      '0@3 a=1',
      '1@3 a=1',
    ]);
  });

  test('is sent to its end although the client reads no further, and nothing after it', () => {
    const ends = new Ends();
    ends.create({ key: 'a', end: 'd', fragment: true });
    ends.takesMore = false;
    put(...large);
    put(['a', '1']);
    expect(ends.lines()).toHaveLength(4);
    ends.drain();
    expect(ends.lines()).toEqual(['0@3 a=1']);
  });
});

describe('progress', () => {
  test('B46: is told to an idle watch that asked for it within two intervals, and to no other', () => {
    const ends = new Ends();
    ends.create({ key: 'a', progressNotify: true });
    ends.create({ key: 'b' });
    ends.lines();
    put(['c', '1']);
    clock.advance(2 * intervalMs);
    expect(ends.lines()).toEqual(['0@2']);
  });

  test('is not told to a watch that was given something meanwhile', () => {
    const ends = new Ends();
    ends.create({ key: 'a', progressNotify: true });
    ends.lines();
    put(['a', '1']);
    clock.advance(1.2 * intervalMs);
    expect(ends.lines()).toEqual(['0@2 a=1']);
    clock.advance(1.2 * intervalMs);
    expect(ends.lines()).toEqual(['0@2']);
  });

  test('is never ahead of events, of the future, or of a full stream', () => {
    for (let i = 0; i < 3; i++) put(['a', '1']);
    const ends = new Ends();
    ends.create({ key: 'a', startRevision: 9, progressNotify: true });
    ends.takesMore = false;
    ends.create({ key: 'a', startRevision: 2, progressNotify: true });
    ends.send({ progressRequest: {} });
    clock.advance(5 * intervalMs);
    expect(ends.lines()).toEqual(['0@4 created', '1@4 created']);
    ends.drain();
    clock.advance(2 * intervalMs);
    expect(ends.lines()).toEqual(['1@4 a=1 a=1 a=1', '1@4']);
  });

  test('is answered for the whole stream when asked for, behind the end of a watch that held it up', () => {
    const ends = new Ends();
    ends.create({ key: 'a' });
    ends.create({ key: 'a', startRevision: 9 });
    ends.send({ progressRequest: {} });
    expect(ends.lines()).toEqual(['0@1 created', '1@1 created']);
    ends.send({ cancelRequest: { watchId: 1n } });
    expect(ends.lines()).toEqual(['1@1 canceled', '-1@1']);
  });
});

test('B47: a client that does not read is sent no more and read from no more, then gets everything', () => {
  const ends = new Ends();
  ends.create({ key: 'a' });
  ends.takesMore = false;
  for (let i = 0; i < 1_000; i++) put(['a', String(i)]);
  clock.advance(intervalMs);
  expect(ends.lines()).toEqual(['0@1 created', '0@2 a=0']);
  expect(ends.isPaused).toBe(true);
  ends.drain();
  clock.advance(intervalMs);
  expect(ends.isPaused).toBe(false);
  const events = ends.lines().flatMap((line) => line.split(' ').slice(1));
  expect(events).toEqual(Array.from({ length: 999 }, (_, i) => `a=${i + 1}`));
});

test('when the member stops, every stream fails, so that clients go elsewhere', () => {
  const streams = [new Ends(), new Ends()];
  streams[0]!.create({ key: 'a', progressNotify: true });
  server.stop();
  for (const { failure } of streams) expect(failure).toMatchObject(new KvError('stopped'));
  put(['a', '1']);
  clock.advance(5 * intervalMs);
  expect(streams[0]!.lines()).toEqual(['0@1 created']);
  expect([hub.watcherCount, hub.streamCount]).toEqual([0, 0]);
});
