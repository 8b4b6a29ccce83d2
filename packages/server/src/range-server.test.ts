/** Long ranges over a store in memory: what is read in one turn of the event loop, counted in rows, and what comes out. */
import { MemoryBackendFactory } from '@quorate/backend';
import { type Clock, noCrashPoints, silentLogger, silentMeter } from '@quorate/base';
import { noLeases, type ReadTxn, Store } from '@quorate/mvcc';
import { RangeRequest, RangeRequestSortTarget, RangeResponse, RangeStreamResponse } from '@quorate/proto';
import type { Reply, ServerCall, ServerStream } from '@quorate/rpc';
import { crc32c } from '@quorate/wal';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { HeaderSource } from './header.ts';
import { RangeServer } from './range-server.ts';
import type { StateMachine } from './state-machine.ts';

const keyCount = 5_000;
const rowsPerTurnMax = 1_000;
const all = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) } as const;

let store: Store;
let soon: (() => void)[];
/** Rows read in each turn so far; the last is the current one. */
let rowsRead: number[];
let server: RangeServer;

const clock: Clock = {
  nowMs: () => 0,
  wallMs: () => 0,
  after: (_delayMs, fn) => {
    soon.push(fn);
    return { cancel: () => {} };
  },
  soon: (fn) => {
    soon.push(fn);
  },
};

function turn(): boolean {
  const due = soon;
  soon = [];
  rowsRead.push(0);
  for (const fn of due) fn();
  return due.length > 0;
}

/** The view, its rows counted. */
function counting(view: ReadTxn): ReadTxn {
  return {
    revision: view.revision,
    get compactRevision() {
      return view.compactRevision;
    },
    range: (key, end, options) => {
      const result = view.range(key, end, options);
      rowsRead[rowsRead.length - 1]! += result.rows.length;
      return result;
    },
  };
}

beforeAll(async () => {
  soon = [];
  rowsRead = [0];
  const backend = await new MemoryBackendFactory().open('db');
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const common = { clock, logger: silentLogger, meter: silentMeter, onFatal };
  let opened: Store | undefined;
  void Store.open({ ...common, backend, crash: noCrashPoints, leases: noLeases, checksum: crc32c }).then((found) => {
    opened = found;
  });
  while (opened === undefined) {
    turn();
    await Promise.resolve();
  }
  store = opened;
  const txn = store.write();
  for (let i = 0; i < keyCount; i++)
    txn.put(`key/${String(i).padStart(6, '0')}`, Buffer.from(String((i * 7) % 11)), 0n);
  txn.end();
});

beforeEach(() => {
  soon = [];
  rowsRead = [0];
  const state = { store: { read: () => counting(store.read()) } } as unknown as StateMachine;
  server = new RangeServer({ clock, headers: new HeaderSource(7n, 8n), state: () => state });
});

/** Asks, and returns where the answer will be. */
function ask(more: Partial<RangeRequest>): { bytes: Buffer | undefined } {
  const answer: { bytes: Buffer | undefined } = { bytes: undefined };
  const reply = {
    encoded: (bytes: Buffer) => {
      answer.bytes = bytes;
    },
    pieces: (pieces: readonly Buffer[]) => {
      for (const piece of pieces) expect(piece.length).toBeLessThan(512 * 1024);
      answer.bytes = Buffer.concat(pieces);
    },
    fail: (error: unknown) => {
      throw error;
    },
  } as unknown as Reply<RangeResponse>;
  server.range(RangeRequest.create({ ...all, ...more }), reply);
  return answer;
}

test.each([
  ['in key order', {}],
  ['sorted by value', { sortTarget: RangeRequestSortTarget.VALUE, sortOrder: 2 }],
  ['filtered', { minModRevision: 1, maxModRevision: 2 }],
])('%s, a turn reads at most a slice, and the answer has all keys once', (_name, more) => {
  const answer = ask(more);
  while (turn());
  const { kvs, count } = RangeResponse.decode(answer.bytes!);
  expect(count).toBe(keyCount);
  expect(new Set(kvs.map((kv) => kv.key.toString())).size).toBe(keyCount);
  expect(kvs).toHaveLength(keyCount);
  expect(Math.max(...rowsRead)).toBeLessThanOrEqual(rowsPerTurnMax);
  expect(rowsRead.filter((rows) => rows > 0).length).toBeGreaterThanOrEqual(keyCount / rowsPerTurnMax);
});

test('ten of them at a time read no more in a turn than one', () => {
  const answers = Array.from({ length: 10 }, () => ask({}));
  // Where they arrived each read its first slice: short ranges should not wait for long ones.
  rowsRead = [0];
  while (turn());
  expect(Math.max(...rowsRead)).toBeLessThanOrEqual(rowsPerTurnMax);
  for (const { bytes } of answers) expect(RangeResponse.decode(bytes!).kvs).toHaveLength(keyCount);
});

test('a stream reads on only when the client has taken what it was sent', () => {
  const sent: Buffer[] = [];
  let drained: () => void = () => {};
  let isEnded = false;
  let takesMore = true;
  const stream = {
    onDrain: (fn: () => void) => (drained = fn),
    sendEncoded: (bytes: Buffer) => {
      sent.push(bytes);
      return takesMore;
    },
    end: () => (isEnded = true),
    fail: (error: unknown) => {
      throw error;
    },
  } as unknown as ServerStream<RangeStreamResponse>;
  takesMore = false;
  server.stream(RangeRequest.create(all), { cancelled: false } as ServerCall, stream);
  while (turn());
  expect(sent).toHaveLength(1);
  expect(rowsRead.reduce((sum, rows) => sum + rows)).toBeLessThanOrEqual(rowsPerTurnMax);
  expect(RangeStreamResponse.decode(sent[0]!).rangeResponse!.kvs).toHaveLength(10);
  drained();
  while (turn());
  expect(sent).toHaveLength(2);
  takesMore = true;
  drained();
  while (turn());
  expect(isEnded).toBe(true);
  const keys = sent.flatMap((bytes) => RangeStreamResponse.decode(bytes).rangeResponse!.kvs.map((kv) => `${kv.key}`));
  expect(keys).toHaveLength(keyCount);
  expect(keys).toEqual([...keys].sort());
  expect(Math.max(...rowsRead)).toBeLessThanOrEqual(rowsPerTurnMax);
});
