/**
 * Fifty watchers of three real members that are killed with SIGKILL again and again, while the history behind the watchers is
 * compacted every 200 ms: every watcher is given every revision of what it watches once, in order, whole, on whichever members it
 * was. `QUORATE_WATCH_CHAOS_MS` sets how long (default 60,000).
 */
import type { Random } from '@quorate/base';
import { DeleteRangeRequest, PutRequest, RequestOp, services, TxnRequest } from '@quorate/proto';
import { afterAll, expect, test } from 'vitest';
import { ChaosStream, padded } from '../support/chaos-stream.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Death, freshRandom, pause, storm } from '../support/storm.ts';
import { judgeWatches, WatchLog, type WatchShape, WriteHistory, type Written } from '../support/watch-judge.ts';

const durationMs = Number(process.env['QUORATE_WATCH_CHAOS_MS'] ?? 60_000);
const writerCount = 6;
const watcherCount = 50;
const keysPerWriter = 12;
const compactionMs = 200;
/** A write of so many keys of so many bytes is more than one response may hold with the values of before. */
const bigKeys = 90;
const bigBytes = 8_000;

const open: { cluster: KvdCluster | undefined } = { cluster: undefined };
afterAll(() => open.cluster?.close());

/** One key to be written; a deletion has no tag. */
interface Wanted {
  readonly key: string;
  readonly tag: string | undefined;
  readonly value: string;
}

/** A caller with keys of its own, one call at a time, each to another member. */
class Writer {
  readonly #name: string;
  readonly #history: WriteHistory;
  readonly #random: Random;
  readonly #clients: readonly RawClient[];
  #calls = 0;

  constructor(name: string, history: WriteHistory, random: Random, clients: readonly RawClient[]) {
    this.#name = name;
    this.#history = history;
    this.#random = random;
    this.#clients = clients;
  }

  async run(until: () => boolean): Promise<void> {
    while (!until()) {
      const client = this.#clients[this.#random.below(this.#clients.length)]!;
      const wanted = this.#draw();
      const known = await this.#write(client, wanted).catch(() => undefined);
      if (known === undefined) {
        this.#history.unknown.push(wanted.map(({ key, tag }) => ({ key, value: tag })));
        await pause(20);
      } else if (known.written.length > 0) this.#history.acknowledge(known.revision, known.written);
      await pause(this.#random.below(20));
    }
  }

  /** Some keys, each once; mostly one. */
  #draw(): Wanted[] {
    this.#calls++;
    const dice = this.#random.below(100);
    const count = dice === 0 ? bigKeys : dice < 75 ? 1 : 2 + this.#random.below(4);
    const first = this.#random.below(keysPerWriter);
    return Array.from({ length: count }, (_, i) => {
      const key = dice === 0 ? `${this.#name}/big${i}` : `${this.#name}/${(first + i) % keysPerWriter}`;
      if (dice !== 0 && this.#random.below(4) === 0) return { key, tag: undefined, value: '' };
      const sizeBytes = dice === 0 ? bigBytes : this.#random.below(500);
      return { key, ...padded(`${this.#name}.${this.#calls}.${i}`, sizeBytes) };
    });
  }

  /** What changed, and at which revision. */
  async #write(
    client: RawClient,
    wanted: readonly Wanted[],
  ): Promise<{ readonly revision: number; readonly written: Written[] }> {
    const success = wanted.map(({ key, tag, value }) =>
      tag === undefined
        ? RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key: Buffer.from(key) }) })
        : RequestOp.create({ requestPut: PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) }) }),
    );
    const { header, responses } = await client.call(services.kv.methods.txn, TxnRequest.create({ success }), 3_000);
    const written = wanted.filter((_, i) => responses[i]!.responseDeleteRange?.deleted !== 0);
    return { revision: header!.revision, written: written.map(({ key, tag }) => ({ key, value: tag })) };
  }
}

/** Compacts now to what is newest, now to what many still need. */
async function compact(
  history: WriteHistory,
  random: Random,
  clients: readonly RawClient[],
  until: () => boolean,
): Promise<number> {
  const behind = [0, 10, 100, 500];
  let count = 0;
  while (!until()) {
    await pause(compactionMs);
    const revision = history.lastRevision - behind[random.below(behind.length)]!;
    if (revision <= history.compactedMax) continue;
    history.compactedMax = revision;
    const done = clients[random.below(clients.length)]!.compact(revision);
    count += await done.then(
      () => 1,
      () => 0,
    );
  }
  return count;
}

function drawShape(random: Random): WatchShape {
  const writer = `w${random.below(writerCount)}`;
  const options = { noPut: random.below(8) === 0, noDelete: random.below(5) === 0, prevKv: random.below(2) === 0 };
  const kind = random.below(10);
  if (kind < 3) return { ...options, key: `${writer}/${random.below(keysPerWriter)}`, end: undefined };
  if (kind < 7) return { ...options, key: `${writer}/`, end: `${writer}0` };
  if (kind < 8) return { ...options, key: 'w2/5', end: 'w4' };
  return { ...options, key: 'w', end: 'x' };
}

/** One to five watches on a stream, so that there are fifty in all; they begin in the past, now or in the future. */
function beginWatching(endpoints: readonly string[], random: Random, started: number): [WatchLog[], ChaosStream[]] {
  const logs: WatchLog[] = [];
  const streams: ChaosStream[] = [];
  while (logs.length < watcherCount) {
    const count = Math.min(watcherCount - logs.length, 1 + random.below(5));
    const own = Array.from({ length: count }, (_, i) => {
      const startRevision = [0, 1 + random.below(started), started + random.below(500)][random.below(3)]!;
      const shape = drawShape(random);
      return new WatchLog(`watch ${logs.length + i} of ${JSON.stringify(shape)}`, shape, startRevision);
    });
    logs.push(...own);
    streams.push(new ChaosStream({ endpoints, logs: own, random, fragment: random.below(2) === 0 }));
  }
  return [logs, streams];
}

test('watchers miss nothing, see nothing twice, out of order or in halves, whoever dies', async () => {
  const random = freshRandom();
  const limit = ['--max-request-bytes', String(bigKeys * (bigBytes + 500))];
  const cluster = await KvdCluster.start(3, ['--watch-progress-notify-interval', '300ms', ...limit]);
  open.cluster = cluster;
  const history = new WriteHistory();
  const clients = cluster.endpoints.map((endpoint) => new RawClient(endpoint));
  let untilMs = Number.POSITIVE_INFINITY;
  const isOver = (): boolean => performance.now() >= untilMs;

  const writing = Array.from({ length: writerCount }, (_, i) => {
    return new Writer(`w${i}`, history, random, clients).run(isOver);
  });
  await waitFor('some history', 30_000, async () => (history.lastRevision > 100 ? true : undefined));
  untilMs = performance.now() + durationMs;
  const [logs, streams] = beginWatching(cluster.endpoints, random, history.lastRevision);
  const compacting = compact(history, random, clients, isOver);
  const { members } = cluster;
  const dying = storm({
    cluster,
    random,
    victims: (leader, n) => [[leader], [members[n % 3]!], [leader], members][n % 4]!,
    downMs: 800,
    restMs: 1_500,
    until: isOver,
  });
  const [deaths, compactions] = await Promise.all([dying, compacting, ...writing]);
  const lastRevision = await settled(clients);
  for (const stream of streams) stream.calm();
  await waitFor('all watchers at the end', 30_000, async () =>
    logs.every((log) => log.next > lastRevision) ? true : undefined,
  ).catch(() => {
    // The judge says who got how far.
  });
  await Promise.all(streams.map((stream) => stream.end()));
  const kvs = await clients[0]!.everything(lastRevision);
  for (const client of clients) client.close();

  const { problems, unknownCount } = judgeWatches(history, logs, { lastRevision, kvs });
  expect(problems, members.map((member) => member.log().slice(-1_000)).join('\n')).toEqual([]);
  tell(history, logs, streams, { deaths, compactions, lastRevision, unknownCount });
  expect(unknownCount).toBeLessThan(lastRevision / 100);
});

/** The revision all members have come to. */
function settled(clients: readonly RawClient[]): Promise<number> {
  return waitFor('all members at one revision', 30_000, async () => {
    const statuses = await Promise.all(clients.map((client) => client.status().catch(() => undefined)));
    const [revision, ...others] = statuses.map((status) => status?.header?.revision);
    return revision !== undefined && others.every((other) => other === revision) ? revision : undefined;
  });
}

/** What the run was like; and that it was one in which things could have gone wrong. */
function tell(
  history: WriteHistory,
  logs: readonly WatchLog[],
  streams: readonly ChaosStream[],
  run: { deaths: readonly Death[]; compactions: number; lastRevision: number; unknownCount: number },
): void {
  const sum = (figures: readonly number[]): number => figures.reduce((a, b) => a + b, 0);
  const events = sum(logs.map((log) => log.eventCount));
  const gaps = sum(logs.map((log) => log.gaps.length));
  const visits = sum(streams.map((stream) => stream.streamCount));
  const fragmented = sum(streams.map((stream) => stream.fragmentedCount));
  console.log(
    `${run.lastRevision} revisions, ${history.unknown.length} writes without an answer, ${run.unknownCount} revisions ` +
      `nobody knows, ${run.deaths.length} kills, ${run.compactions} compactions; ${events} events to ${logs.length} ` +
      `watchers on ${visits} streams, ${fragmented} responses in fragments, ${gaps} times overtaken by compaction`,
  );
  const seconds = durationMs / 1_000;
  expect(run.deaths.length).toBeGreaterThan(seconds / 10);
  expect(run.compactions).toBeGreaterThan(seconds / 4);
  expect(events).toBeGreaterThan(seconds * 100);
  expect(visits).toBeGreaterThan(streams.length);
}
