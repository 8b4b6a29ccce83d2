import type { Backend } from '@quorate/backend';
import { type Facts, type Logger, type MetricSpec, silentLogger, silentMeter } from '@quorate/base';
import { Message } from '@quorate/proto';
import { expect, test } from 'vitest';
import type { SnapshotChunks } from './peer-transport.ts';
import { SnapshotTransfer } from './snapshot-transfer.ts';
import { ManualClock } from './testing/manual-clock.ts';

const message = Message.create({ from: 1n, to: 2n });
const state = { sizeInUseBytes: () => 1_000_000 } as Backend;

/** Chunks of these sizes go out to member 2; what arrives is noted with the time. */
function setUp(bytesPerSecond: number, sizes: readonly number[] = []) {
  const clock = new ManualClock();
  const arrived: { atMs: number; bytes: number }[] = [];
  const counts = new Map<string, number>();
  const gauges = new Map<string, () => number>();
  const lines: Facts[] = [];
  const labelOf = ({ name, labels }: MetricSpec): string => `${name} ${JSON.stringify(labels)}`;
  const add = (spec: MetricSpec) => ({
    add: () => void counts.set(labelOf(spec), (counts.get(labelOf(spec)) ?? 0) + 1),
    observe: (value: number) => void counts.set(labelOf(spec), value),
  });
  const meter = {
    ...silentMeter,
    counter: add,
    histogram: add,
    observedGauge: (spec: MetricSpec, read: () => number) => void gauges.set(labelOf(spec), read),
  };
  const logger: Logger = { ...silentLogger, info: (text, facts) => void lines.push({ text, ...facts }) };
  const take = async (chunks: SnapshotChunks): Promise<void> => {
    for await (const chunk of chunks) arrived.push({ atMs: clock.nowMs() - 1_000, bytes: chunk.length });
  };
  const stream = async function* (): AsyncGenerator<Buffer> {
    for (const size of sizes) yield Buffer.alloc(size);
  };
  const transfer = new SnapshotTransfer({
    clock,
    logger,
    meter,
    bytesPerSecond,
    peers: { sendSnapshot: (_message, chunks) => take(chunks) },
    snapshotter: {
      prepare: (one) => Promise.resolve({ message: one, chunks: stream() }),
      receive: async (_message, chunks, offer) => {
        await take(chunks);
        if (!(await offer())) throw new Error('not wanted');
      },
    },
  });
  /** Time passes until `done`. */
  const until = async (done: Promise<void>): Promise<void> => {
    let isDone = false;
    const settled = done.finally(() => (isDone = true)).catch(() => {});
    while (!isDone) {
      for (let i = 0; i < 20; i++) await Promise.resolve();
      if (!isDone) clock.advance(10);
    }
    await settled;
  };
  return { clock, arrived, counts, gauges, lines, transfer, until, stream };
}

test('a snapshot is sent as fast as the limit allows, and never faster than that and a tenth of a second', async () => {
  const sizes = Array.from({ length: 50 }, (_, i) => 1_000 * (1 + (i % 7)));
  const { arrived, transfer, until } = setUp(10_000, sizes);
  await until(transfer.send(message, state));
  expect(arrived.map(({ bytes }) => bytes)).toEqual(sizes);
  let before = 0;
  for (const { atMs, bytes } of arrived) {
    expect(before).toBeLessThanOrEqual((10_000 * (atMs + 110)) / 1_000);
    before += bytes;
  }
  expect(arrived.at(-1)!.atMs).toBeLessThan((before * 1_000) / 10_000 + 100);
});

test('without a limit nothing waits', async () => {
  const { clock, transfer, arrived } = setUp(0, [1_000_000, 1_000_000]);
  const startMs = clock.nowMs();
  await transfer.send(message, state);
  expect(arrived).toHaveLength(2);
  expect(clock.nowMs()).toBe(startMs);
});

test('both sides count what came of it, and say how far it is', async () => {
  const sizes = Array.from({ length: 100 }, () => 1_000);
  const { counts, gauges, lines, transfer, until } = setUp(10_000, sizes);
  const sending = transfer.send(message, state);
  expect(gauges.get('etcd_network_snapshot_send_inflights_total {"To":"2"}')!()).toBe(1);
  await until(sending);
  expect(gauges.get('etcd_network_snapshot_send_inflights_total {"To":"2"}')!()).toBe(0);
  expect(gauges.get('quorate_snapshot_send_bytes {"To":"2"}')!()).toBe(0);
  expect(counts.get('etcd_network_snapshot_send_success {"To":"2"}')).toBe(1);
  expect(counts.get('etcd_network_snapshot_send_total_duration_seconds {"To":"2"}')).toBeGreaterThan(9);
  expect(lines.map(({ text }) => text)).toEqual(['sending a snapshot', 'sent a snapshot']);
  expect(lines[0]).toMatchObject({ peer: '2', ofAbout: 1_000_000 });
});

test('what is refused is counted as a failure where it was refused', async () => {
  const { counts, gauges, transfer, stream } = setUp(0, [10]);
  await expect(transfer.receive(message, stream(), () => Promise.resolve(false))).rejects.toThrow('not wanted');
  expect(counts.get('etcd_network_snapshot_receive_failures {"From":"1"}')).toBe(1);
  expect(counts.get('etcd_network_snapshot_receive_success {"From":"1"}')).toBeUndefined();
  expect(gauges.get('etcd_network_snapshot_receive_inflights_total {"From":"1"}')!()).toBe(0);
  await transfer.receive(message, stream(), () => Promise.resolve(true));
  expect(counts.get('etcd_network_snapshot_receive_success {"From":"1"}')).toBe(1);
});
