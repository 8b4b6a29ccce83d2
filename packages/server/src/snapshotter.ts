/**
 * Whole states on the move: sends this member's state to one that lags behind the log, and takes in a state that the leader
 * sent. A received state is built beside the live one, made durable, and only then handed to raft; it becomes the live one after
 * the WAL says so. A crash between any two steps leaves the old state or the new one:
 *
 *   1. rows into the store `db.next`, then its completion mark, durable          crash: junk, removed at the next start
 *   2. MSG_SNAP to raft, which accepts it
 *   3. snapshot mark into the WAL, synced                                        crash: the next start finishes from here
 *   4. `db.next` takes the place of `db`                                         crash: old WAL segments are released later
 *   5. the log before the snapshot is dropped
 */

import { readConsistentIndex } from '@quorate/apply';
import { type Backend, type BackendFactory, type BackendView, buckets } from '@quorate/backend';
import {
  type Clock,
  type ClusterId,
  type CrashPoints,
  formatId,
  invariant,
  type Logger,
  type Meter,
} from '@quorate/base';
import { ConfState, Header, type Message, SnapshotMetadata } from '@quorate/proto';
import type { SnapshotChunks } from './peer-transport.ts';
import { type Checksum, encodeSnapshot, SnapshotDecoder, type SnapshotRow } from './snapshot-codec.ts';
import { SnapshotMetrics } from './snapshot-metrics.ts';
import { soundView } from './sound-view.ts';

/** Names of the live store and of the one being received, within the member's directory. */
export const storeName = 'db';
export const nextStoreName = 'db.next';

/** Row in the meta bucket of a received store, written last: its index as decimal text. */
const completeKey = 'snapshotComplete';
/** Rows handed to the store in one commit while receiving. */
const rowsPerCommit = 5_000;
const formatVersion = 1;

export interface SnapshotterOptions {
  readonly backends: BackendFactory;
  readonly clusterId: ClusterId;
  readonly checksum: Checksum;
  readonly crash: CrashPoints;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly meter: Meter;
  /** Lets other work run between two slices. */
  readonly pause: () => Promise<void>;
  /** Told of damage in the state that is sent. */
  readonly onFatal: (error: unknown) => void;
}

export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #metrics: SnapshotMetrics;
  #receiving = false;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#metrics = new SnapshotMetrics(options.clock, options.meter);
  }

  /**
   * Opens a view of `backend` and returns the message a lagging member needs, with the index the view stands at (which is at or
   * above the one raft asked for), and the encoded state. The view closes when the stream ends, however it ends.
   */
  async prepare(message: Message, backend: Backend): Promise<{ message: Message; chunks: SnapshotChunks }> {
    const { clusterId, checksum, pause, crash } = this.#options;
    crash.hit('snapshotBeforeCreate');
    const view = soundView(await backend.openView(), this.#options);
    const { index, term, confState } = readConsistentIndex(view);
    invariant(index >= (message.snapshot?.metadata?.index ?? 0), 'state behind the log it is sent for', { index });
    const header = Header.create({
      format: formatVersion,
      clusterId,
      index,
      term,
      confState: ConfState.encode(confState),
    });
    const metadata = SnapshotMetadata.create({ confState, index, term });
    const complete: Message = { ...message, snapshot: { data: Buffer.alloc(0), metadata } };
    return { message: complete, chunks: closing(encodeSnapshot(view, header, checksum, pause), view) };
  }

  /**
   * Builds the received state beside the live one, makes it durable and gives it to raft through `offer`, which tells whether raft
   * took it. Rejects, leaving nothing behind, when the stream is not whole. Until a state that was taken is in place no other is
   * received.
   */
  async receive(message: Message, chunks: SnapshotChunks, offer: () => Promise<boolean>): Promise<void> {
    if (this.#receiving) throw new Error('another snapshot is being received');
    this.#receiving = true;
    let taken = false;
    try {
      await this.#metrics.saving(() => this.#receiveInto(message, chunks));
      taken = await offer();
      if (!taken) await this.discardReceived();
    } finally {
      if (!taken) this.#receiving = false;
    }
  }

  async #receiveInto(message: Message, chunks: SnapshotChunks): Promise<void> {
    const { backends, checksum, crash, logger } = this.#options;
    const metadata = message.snapshot?.metadata;
    invariant(metadata !== undefined, 'snapshot message without metadata');
    await backends.remove(nextStoreName);
    const next = await backends.open(nextStoreName);
    try {
      const sink = new StoreSink(next, this.#options.clusterId, metadata);
      const decoder = new SnapshotDecoder(sink, checksum);
      for await (const chunk of chunks) {
        decoder.push(chunk);
        if (next.stagedCount >= rowsPerCommit) await next.commit().done;
        crash.hit('snapshotMidReceive');
      }
      decoder.finish();
      sink.verify();
      next.put(buckets.meta, completeKey, Buffer.from(String(metadata.index), 'latin1'));
      await this.#metrics.syncing(() => next.commit().durable);
      crash.hit('snapshotAfterReceiveSync');
      await next.close();
    } catch (error) {
      await next.close();
      await backends.remove(nextStoreName);
      throw error;
    }
    logger.info('received a snapshot', { index: metadata.index, term: metadata.term, from: formatId(message.from) });
  }

  /** Shows that a received state takes the place of the live one while `install` runs. */
  installing(install: () => Promise<void>): Promise<void> {
    return this.#metrics.applying(install);
  }

  /** Puts the received state of `index` in the place of the live one, which must be closed. Its mark goes: it has done its work. */
  async swap(index: number): Promise<void> {
    const { backends, crash } = this.#options;
    crash.hit('snapshotBeforeSwap');
    const received = await this.receivedIndex();
    invariant(received === index, 'the received state is not the one that was accepted', { received, index });
    await backends.replace(nextStoreName, storeName);
    const live = await backends.open(storeName);
    live.remove(buckets.meta, completeKey);
    await live.close();
    crash.hit('snapshotAfterSwap');
    this.#receiving = false;
  }

  /** Index of a wholly received state that waits beside the live one; undefined when there is none or it is not whole. */
  async receivedIndex(): Promise<number | undefined> {
    const { backends } = this.#options;
    if (!(await backends.exists(nextStoreName))) return undefined;
    const next = await backends.open(nextStoreName);
    try {
      const mark = next.get(buckets.meta, completeKey);
      return mark === undefined ? undefined : Number(mark.toString('latin1'));
    } finally {
      await next.close();
    }
  }

  /** Removes a received state that nothing refers to. */
  async discardReceived(): Promise<void> {
    await this.#options.backends.remove(nextStoreName);
  }
}

/** Writes rows into the store and checks that the stream says what the message said. */
class StoreSink {
  readonly #store: Backend;
  readonly #clusterId: ClusterId;
  readonly #metadata: SnapshotMetadata;

  constructor(store: Backend, clusterId: ClusterId, metadata: SnapshotMetadata) {
    this.#store = store;
    this.#clusterId = clusterId;
    this.#metadata = metadata;
  }

  onHeader(header: Header): void {
    if (header.format !== formatVersion) throw new Error(`unknown snapshot format ${header.format}`);
    if (header.clusterId !== this.#clusterId) throw new Error('snapshot of another cluster');
    if (header.index !== this.#metadata.index || header.term !== this.#metadata.term) {
      throw new Error('snapshot is of another index than its message says');
    }
  }

  onRows(rows: readonly SnapshotRow[]): void {
    for (const row of rows) this.#store.put(row.bucket, row.key, row.value);
  }

  /** The state inside must stand at the index outside. */
  verify(): void {
    const { index, term } = readConsistentIndex(this.#store);
    if (index !== this.#metadata.index || term !== this.#metadata.term) {
      throw new Error('snapshot contradicts its own consistent index');
    }
  }
}

async function* closing(chunks: SnapshotChunks, view: BackendView): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of chunks) yield chunk;
  } finally {
    view.close();
  }
}
