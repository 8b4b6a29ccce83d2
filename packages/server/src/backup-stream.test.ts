import { createHash } from 'node:crypto';
import { type Backend, buckets, MemoryBackendFactory } from '@quorate/backend';
import { CorruptionError, FatalError } from '@quorate/base';
import { KvError, type SnapshotResponse } from '@quorate/proto';
import type { ServerCall, ServerStream } from '@quorate/rpc';
import { crc32c } from '@quorate/wal';
import { describe, expect, test } from 'vitest';
import { type BackupOptions, sendBackup } from './backup-stream.ts';
import { SnapshotDecoder, type SnapshotRow } from './snapshot-codec.ts';
import { storedRow } from './testing/rows.ts';

async function filled(rows: number): Promise<Backend> {
  const backend = await new MemoryBackendFactory().open('db');
  for (let i = 0; i < rows; i++) {
    const key = `key${String(i).padStart(6, '0')}`;
    backend.put(buckets.key, key, storedRow(key, Buffer.alloc(i % 300, i)));
  }
  await backend.commit().done;
  return backend;
}

function optionsOf(
  backend: () => Backend,
  onFatal: (error: unknown) => void = () => expect.unreachable(),
): BackupOptions {
  const pause = (): Promise<void> => Promise.resolve();
  return { clusterId: 5n, checksum: crc32c, storageVersion: '3.6.0', backend, pause, onFatal };
}

/** A caller that takes `window` messages before it must be told to go on. */
class Caller {
  readonly messages: SnapshotResponse[] = [];
  readonly window: number;
  ended = false;
  failure: unknown;
  cancelled = false;
  waiting = false;
  #drain: () => void = () => undefined;
  #cancel: () => void = () => undefined;

  constructor(window = Number.POSITIVE_INFINITY) {
    this.window = window;
  }

  get call(): ServerCall {
    const caller = this;
    return {
      path: '/etcdserverpb.Maintenance/Snapshot',
      get cancelled() {
        return caller.cancelled;
      },
      onCancel: (fn: () => void) => {
        this.#cancel = fn;
      },
    } as ServerCall;
  }

  get stream(): ServerStream<SnapshotResponse> {
    return {
      send: (message: SnapshotResponse) => {
        this.messages.push({ ...message, blob: Buffer.from(message.blob) });
        this.waiting = this.messages.length % this.window === 0;
        return !this.waiting;
      },
      onDrain: (fn: () => void) => {
        this.#drain = fn;
      },
      end: () => {
        this.ended = true;
      },
      fail: (error: unknown) => {
        this.failure = error;
      },
    } as unknown as ServerStream<SnapshotResponse>;
  }

  drain(): void {
    this.waiting = false;
    this.#drain();
  }

  cancel(): void {
    this.cancelled = true;
    this.#cancel();
  }

  get file(): Buffer {
    return Buffer.concat(this.messages.map(({ blob }) => blob));
  }
}

/** Where the padding begins: behind the magic and the last frame. No frame has kind 0. */
function endOfFrames(content: Buffer): number {
  let at = 8;
  while (at < content.length && content[at] !== 0) at += 9 + content.readUInt32LE(at + 1);
  return at;
}

/** Lets everything that is ready run. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a backup', () => {
  test.each([0, 1, 700, 5_000])('of %i rows holds them all, is aligned and ends with its SHA-256', async (count) => {
    const backend = await filled(count);
    const caller = new Caller();
    await sendBackup(
      optionsOf(() => backend),
      caller.call,
      caller.stream,
    );
    expect(caller).toMatchObject({ ended: true, failure: undefined });
    const { file } = caller;
    expect(file.length % 512).toBe(32);
    const content = file.subarray(0, -32);
    expect(file.subarray(-32)).toEqual(createHash('sha256').update(content).digest());
    const end = endOfFrames(content);
    expect(content.subarray(end)).toEqual(Buffer.alloc(content.length - end));
    expect(content.length - end).toBeLessThan(512);
    const rows: SnapshotRow[] = [];
    const decoder = new SnapshotDecoder({ onHeader: () => undefined, onRows: (more) => rows.push(...more) }, crc32c);
    decoder.push(content.subarray(0, end));
    decoder.finish();
    const flat = (list: readonly { key: string; value: Buffer }[]): string =>
      list.map(({ key, value }) => `${key}=${value.toString('hex')}\n`).join('');
    expect(flat(rows) === flat(backend.range(buckets.key, { from: '' }))).toBe(true);
    expect(rows).toHaveLength(count);
  });

  test('says that bytes remain in every message but the last, and keeps to the size of etcd’s messages', async () => {
    const backend = await filled(2_000);
    const caller = new Caller();
    await sendBackup(
      optionsOf(() => backend),
      caller.call,
      caller.stream,
    );
    expect(caller.messages.length).toBeGreaterThan(5);
    expect(caller.messages.slice(0, -1).every(({ remainingBytes }) => remainingBytes > 0)).toBe(true);
    expect(caller.messages.at(-1)).toMatchObject({ remainingBytes: 0, version: '3.6.0' });
    expect(Math.max(...caller.messages.map(({ blob }) => blob.length))).toBe(32 * 1024);
  });

  test('waits for a caller that takes no more, and holds the state of its beginning', async () => {
    const backend = await filled(2_000);
    const caller = new Caller(3);
    const done = sendBackup(
      optionsOf(() => backend),
      caller.call,
      caller.stream,
    );
    while (!caller.waiting) await settled();
    await settled();
    expect(caller.messages).toHaveLength(3);
    backend.put(buckets.key, 'later', Buffer.alloc(1));
    await backend.commit().done;
    while (!caller.ended) {
      if (caller.waiting) caller.drain();
      await settled();
    }
    await done;
    expect(caller.file.includes('key001999')).toBe(true);
    expect(caller.file.includes('later')).toBe(false);
  });

  test('of a store with a damaged version is not sent to its end, and the process must hear of it', async () => {
    const backend = await filled(2_000);
    const damaged = backend.get(buckets.key, 'key001500')!;
    damaged[damaged.length - 1]! ^= 1;
    backend.put(buckets.key, 'key001500', damaged);
    const caller = new Caller();
    const fatal: unknown[] = [];
    await sendBackup(
      optionsOf(
        () => backend,
        (error) => fatal.push(error),
      ),
      caller.call,
      caller.stream,
    );
    expect(caller.ended).toBe(false);
    expect(caller.failure).toBeInstanceOf(CorruptionError);
    expect(fatal).toEqual([caller.failure]);
  });

  test('stops when the caller goes away while it waits, without an end and without a checksum', async () => {
    const backend = await filled(2_000);
    const caller = new Caller(3);
    const done = sendBackup(
      optionsOf(() => backend),
      caller.call,
      caller.stream,
    );
    while (!caller.waiting) await settled();
    caller.cancel();
    await done;
    expect(caller).toMatchObject({ ended: false, failure: undefined });
    expect(caller.messages).toHaveLength(3);
  });

  test('fails as a stopping member does when the store is closed or replaced under it', async () => {
    const backend = await filled(10_000);
    const other = await filled(1);
    let live = backend;
    const caller = new Caller(3);
    const done = sendBackup(
      optionsOf(() => live),
      caller.call,
      caller.stream,
    );
    while (!caller.waiting) await settled();
    live = other;
    await backend.close();
    while (caller.failure === undefined && !caller.ended) {
      if (caller.waiting) caller.drain();
      await settled();
    }
    await done;
    expect(caller.failure).toEqual(new KvError('stopped'));
    expect(caller.ended).toBe(false);
  });

  test('hands on what goes wrong while the store is still the live one', async () => {
    const backend = await filled(1);
    const broken = Object.assign(Object.create(backend) as Backend, {
      openView: () => Promise.reject(new FatalError('broken')),
    });
    const caller = new Caller();
    await sendBackup(
      optionsOf(() => broken),
      caller.call,
      caller.stream,
    );
    expect(caller.failure).toEqual(new FatalError('broken'));
  });
});
