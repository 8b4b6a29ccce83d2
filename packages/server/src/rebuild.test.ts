import { ConsistentIndex, readConsistentIndex } from '@quorate/apply';
import { type Backend, buckets, MemoryBackendFactory } from '@quorate/backend';
import {
  type CrashPointName,
  MemoryDisk,
  noCrashPoints,
  SimulatedCrash,
  StorageError,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { ConfState, Message, PeerMember, SnapshotMark } from '@quorate/proto';
import { crc32c, type Wal, type WalRecovery } from '@quorate/wal';
import { describe, expect, test } from 'vitest';
import { memberDefaults } from './config.ts';
import { isNoted, note } from './damage.ts';
import type { RemoteInfo, StateStream } from './peer-transport.ts';
import { damagedStoreName, rebuildStore } from './rebuild.ts';
import type { Runtime } from './runtime.ts';
import { Snapshotter, storeName } from './snapshotter.ts';
import { StartError } from './start-error.ts';
import { ManualClock } from './testing/manual-clock.ts';

const clusterId = 7n;
const confState = ConfState.create({ voters: [1n, 2n, 3n] });

/** A store that stands at `index` and says whose it is. */
async function fill(backend: Backend, index: number, owner: string): Promise<void> {
  const at = new ConsistentIndex(backend);
  for (let i = 1; i <= index; i++) at.moveTo({ index: i, term: 2 });
  at.stage();
  at.setConfState(confState);
  backend.put(buckets.meta, 'owner', Buffer.from(owner));
  await backend.commit().durable;
}

interface Other {
  readonly id: bigint;
  readonly index: number;
  readonly leads?: boolean;
  readonly clusterId?: bigint;
  /** What comes instead of its state. */
  readonly failure?: unknown;
}

/** Member 1 with a store at 20, a log committed to 30, and others at their URLs. */
async function world(
  others: readonly Other[],
  more: { readonly urls?: readonly string[]; readonly cut?: boolean } = {},
) {
  const disk = new MemoryDisk();
  const backends = new MemoryBackendFactory();
  const own = await backends.open(storeName);
  await fill(own, 20, 'own');
  await own.close();
  const marks: number[] = [];
  const asked: string[] = [];
  let nowMs = 0;
  let crashAt: CrashPointName | undefined;
  const crash = {
    hit: (name: CrashPointName) => {
      if (name === crashAt) throw new SimulatedCrash(name);
    },
  };
  const at = (url: string): Other | undefined => others.find(({ id }) => url === `http://m${id}`);
  const runtime = {
    disk,
    backends,
    checksum: crc32c,
    crash,
    logger: silentLogger,
    meter: silentMeter,
    clock: {
      nowMs: () => nowMs,
      wallMs: () => nowMs,
      soon: (run: () => void) => void Promise.resolve().then(run),
      after: (delayMs: number, run: () => void) => {
        nowMs += delayMs;
        void Promise.resolve().then(run);
        return { cancel: () => {} };
      },
    },
    peers: {
      fetchInfo: async (url: string): Promise<RemoteInfo> => {
        const other = at(url);
        if (other === undefined) throw new Error('nobody there');
        const members = others.map(({ id }) => PeerMember.create({ id, peerUrls: [`http://m${id}`] }));
        const leader = others.find(({ leads }) => leads === true)?.id ?? 0n;
        const answer = { clusterId: other.clusterId ?? clusterId, memberId: other.id, members, leader };
        return { ...answer, appliedIndex: other.index };
      },
      fetchState: async (url: string): Promise<StateStream> => {
        const other = at(url)!;
        asked.push(`m${other.id}`);
        if (other.failure !== undefined) throw other.failure;
        const theirs = await new MemoryBackendFactory().open('db');
        await fill(theirs, other.index, `m${other.id}`);
        const snapshotter = new Snapshotter({
          ...{ backends, clusterId, checksum: crc32c, crash: noCrashPoints, logger: silentLogger },
          ...{ clock: new ManualClock(), meter: silentMeter, pause: () => Promise.resolve() },
          onFatal: () => expect.unreachable(),
        });
        return snapshotter.prepare(Message.create({ from: other.id }), theirs);
      },
    },
  } as unknown as Runtime;
  const urls = more.urls ?? others.map(({ id }) => `http://m${id}`);
  const config = {
    ...memberDefaults,
    name: 'm1',
    advertiseClientUrls: [],
    initialCluster: [
      { name: 'm1', peerUrls: ['http://m1'] },
      ...urls.map((url, i) => ({ name: `other ${i}`, peerUrls: [url] })),
    ],
  };
  const wal = {
    append: (_state: unknown, _entries: unknown, mark: { index: number }) => void marks.push(mark.index),
    sync: () => Promise.resolve(),
  } as unknown as Wal;
  const recovery: WalRecovery = {
    metadata: { clusterId, memberId: 1n, incarnation: 5n },
    hardState: { term: 2, vote: 1n, commit: 30 },
    entries: [],
    snapshot: more.cut === false ? undefined : SnapshotMark.create({ index: 10, term: 1 }),
    tornBytes: 0,
  };
  const rebuild = (): Promise<void> => rebuildStore({ config, runtime, wal, recovery });
  const arm = (name: CrashPointName | undefined): void => {
    crashAt = name;
    backends.crash({ keepUnflushed: false });
  };
  const stored = async (name: string): Promise<string | undefined> => {
    if (!(await backends.exists(name))) return undefined;
    const backend = await backends.open(name);
    const { index } = readConsistentIndex(backend);
    const owner = backend.get(buckets.meta, 'owner')?.toString();
    await backend.close();
    return `${owner} at ${index}`;
  };
  return { disk, marks, asked, rebuild, arm, stored };
}

describe('a rebuild', () => {
  test('takes the state of the leader, keeps the damaged store aside, and tells the log where it begins', async () => {
    const w = await world([
      { id: 2n, index: 50 },
      { id: 3n, index: 40, leads: true },
    ]);
    await note(w.disk, 'damaged');
    await w.rebuild();
    expect(await w.stored(storeName)).toBe('m3 at 40');
    expect(await w.stored(damagedStoreName)).toBe('own at 20');
    expect(w.marks).toEqual([40]);
    expect(await isNoted(w.disk)).toBe(false);
  });

  test('passes over those that are behind what is committed here, of another cluster, or fail', async () => {
    const w = await world([
      { id: 2n, index: 29 },
      { id: 3n, index: 60, leads: true, failure: new Error('it broke') },
      { id: 4n, index: 70, clusterId: 8n },
      { id: 5n, index: 30 },
    ]);
    await w.rebuild();
    expect(w.asked).toEqual(['m3', 'm5']);
    expect(await w.stored(storeName)).toBe('m5 at 30');
  });

  test('finds members that the flags do not name through one that they do', async () => {
    const w = await world(
      [
        { id: 2n, index: 5 },
        { id: 3n, index: 44 },
      ],
      { urls: ['http://m2'] },
    );
    await w.rebuild();
    expect(await w.stored(storeName)).toBe('m3 at 44');
  });

  test('that finds nobody changes nothing', async () => {
    const w = await world([{ id: 2n, index: 29 }]);
    await expect(w.rebuild()).rejects.toThrow(StartError);
    expect(await w.stored(storeName)).toBe('own at 20');
    expect(await isNoted(w.disk)).toBe(false);
    expect(w.marks).toEqual([]);
  });

  test('ends with an error of its own disk', async () => {
    const failure = new StorageError('backend', 'write', 'no space left on device');
    const w = await world([{ id: 2n, index: 50, failure }]);
    await expect(w.rebuild()).rejects.toThrow('no space left');
  });

  test('of a member alone leaves the work to a log that was never cut, and is refused with one that was', async () => {
    const whole = await world([], { cut: false });
    await whole.rebuild();
    expect(await whole.stored(storeName)).toBeUndefined();
    expect(await whole.stored(damagedStoreName)).toBe('own at 20');
    const cut = await world([]);
    await expect(cut.rebuild()).rejects.toThrow('names no other member');
    expect(await cut.stored(storeName)).toBe('own at 20');
  });

  test.each<CrashPointName>(['snapshotAfterWalRecord', 'snapshotBeforeSwap', 'snapshotAfterSwap'])(
    'that dies at %s is noted, and done again by the next start',
    async (name) => {
      const w = await world([{ id: 2n, index: 50 }]);
      w.arm(name);
      await expect(w.rebuild()).rejects.toThrow(SimulatedCrash);
      expect(await isNoted(w.disk)).toBe(true);
      w.arm(undefined);
      await w.rebuild();
      expect(await w.stored(storeName)).toBe('m2 at 50');
      expect(await isNoted(w.disk)).toBe(false);
    },
  );
});
