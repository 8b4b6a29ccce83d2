/**
 * The write-ahead log: what must survive, in order, made durable in groups. One sync is in flight at a time; everything appended
 * meanwhile is the next group, so the busier the member, the larger the groups, without any timer. A write or sync that fails
 * poisons the log for ever: the promise of that group and of all later ones rejects, and the process has to end.
 *
 * Segments are filled with zeros before they are used. When a group does not fit any more the log goes on in the next segment,
 * which is durable under its name before the old one is sealed.
 */
import {
  type Clock,
  type CrashPoints,
  Deferred,
  type Disk,
  type DiskFile,
  exponentialBuckets,
  FatalError,
  type Gauge,
  type Histogram,
  invariant,
  joinPath,
  type Logger,
  type Meter,
  type Random,
  randomId,
  StorageError,
  type Timer,
} from '@quorate/base';
import { type Entry, type HardState, Metadata, type SnapshotMark } from '@quorate/proto';
import { fillerItem, GroupEncoder, groupBytesMax, type Item, markItem, stateItem } from './group-encoder.ts';
import {
  RecordType,
  recordBytes,
  type SegmentHeader,
  sealPayloadBytes,
  seedOf,
  segmentHeaderBytes,
  writeNumber,
} from './record.ts';
import { readLog, type WalMetadata, type WalRecovery } from './recovery.ts';
import { repairTail } from './repair.ts';
import { createZeroed, listSegments, nameSegment, type SegmentName, spareName } from './segment.ts';

export interface WalOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  /** Default 16 MiB. A larger group gets a larger segment. */
  readonly segmentSizeBytes?: number;
}

export const segmentSizeDefault: number = 16 * 1024 * 1024;

/** Room that a group must leave so that the seal fits behind it. */
const sealBytes = recordBytes(sealPayloadBytes) + recordBytes(16);
/**
 * Silence after which an empty group is written, in milliseconds: the last group with data then has a successor that proves it
 * durable, so that damage in it cannot pass for a torn tail. It ends on a page of its own, which the same damage does not reach.
 */
const idleMarkMs = 100;
/** A sync slower than this is worth a warning, in milliseconds (etcd: 1 s). */
const slowSyncMs = 1_000;

/** The segment being written. */
interface Open {
  readonly name: SegmentName;
  readonly header: SegmentHeader;
  readonly file: DiskFile;
  /** Where the next group goes. */
  position: number;
}

export class Wal {
  readonly #options: Required<WalOptions>;
  readonly #metadata: WalMetadata;
  readonly #encoder = new GroupEncoder();
  readonly #fsyncSeconds: Histogram;
  readonly #writeBytes: Gauge;
  #segments: SegmentName[] = [];
  #open!: Open;
  #lsn = 0;
  #group = 1;
  #chain = 0;
  #lastIndex = 0;
  /** The newest hard state and mark that are durable: what the head of a new segment repeats. */
  #durableState: Item | undefined;
  #durableMark: Item | undefined;
  #items: Item[] = [];
  #next: Deferred<void> | undefined;
  #flushing = false;
  /** The flush under way or the last one; never rejects. */
  #running: Promise<void> | undefined;
  #spare: Promise<DiskFile> | undefined;
  #idle: Timer | undefined;
  #bytesWritten = 0;
  #poison: unknown;
  #closed = false;
  #syncStartedAtMs: number | undefined;

  private constructor(options: WalOptions, metadata: WalMetadata) {
    this.#options = { segmentSizeBytes: segmentSizeDefault, ...options };
    this.#metadata = metadata;
    const { meter } = options;
    this.#fsyncSeconds = meter.histogram(
      {
        name: 'etcd_disk_wal_fsync_duration_seconds',
        help: 'The latency distributions of fsync called by WAL.',
      },
      exponentialBuckets(0.001, 2, 14),
    );
    this.#writeBytes = meter.gauge({
      name: 'etcd_disk_wal_write_bytes_total',
      help: 'Total number of bytes written in WAL.',
    });
  }

  /** Whether there is a log to open. What a first start that died left behind does not count and is removed by create. */
  static async exists(options: Pick<WalOptions, 'disk' | 'directory' | 'logger'>): Promise<boolean> {
    return (await listSegments(options.disk, options.directory, options.logger)).length > 0;
  }

  /** A new log in an empty directory. Durable, with its metadata, when this resolves; a crash before leaves no log. */
  static async create(options: WalOptions, metadata: WalMetadata): Promise<Wal> {
    const { disk, directory, logger } = options;
    await disk.makeDirectory(directory);
    invariant(!(await Wal.exists({ disk, directory, logger })), 'a log exists already', { directory });
    const wal = new Wal(options, metadata);
    await wal.#startSegment(wal.#options.segmentSizeBytes, 1);
    return wal;
  }

  /**
   * Opens what is there. A torn tail is copied aside and cut; corruption throws CorruptionError with nothing changed. The sound
   * tail is written again and synced before anything is built on it: after a failed sync the page cache may show data that the
   * disk does not have. `committedAtLeast`: an index known elsewhere to be committed.
   */
  static async open(
    options: WalOptions,
    known: { readonly committedAtLeast: number },
  ): Promise<{ readonly wal: Wal; readonly recovery: WalRecovery }> {
    const { disk, directory, logger, crash } = options;
    const reading = await readLog(disk, directory, logger, known.committedAtLeast);
    const { segments, recovery } = reading;
    const last = segments.at(-1);
    invariant(last !== undefined, 'a log was read without segments');
    crash.hit('walRecoverBeforeRepair');
    const file = await repairTail(options, reading);
    const wal = new Wal(options, recovery.metadata);
    wal.#segments = segments.map((segment) => segment.name);
    wal.#open = { name: last.name, header: last.header, file, position: last.scan.goodEnd };
    wal.#lsn = last.scan.endLsn;
    wal.#group = last.scan.lastGroup + 1;
    wal.#chain = last.scan.chain;
    wal.#lastIndex = recovery.entries.at(-1)?.index ?? recovery.snapshot?.index ?? 0;
    wal.#durableState = stateItem(recovery.hardState);
    if (recovery.snapshot !== undefined) wal.#durableMark = markItem(recovery.snapshot);
    return { wal, recovery };
  }

  /** Since when a sync is under way, on the clock of the options; undefined while none is. For noticing a disk that hangs. */
  get syncStartedAtMs(): number | undefined {
    return this.#syncStartedAtMs;
  }

  /** Index of the last entry appended. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** Stages for the next group, in the order snapshot mark, hard state, entries. Nothing is durable before a later sync returns. */
  append(hardState: HardState | undefined, entries: readonly Entry[], mark?: SnapshotMark): void {
    this.#mustWork();
    if (mark !== undefined) {
      this.#items.push(markItem(mark));
      this.#lastIndex = Math.max(this.#lastIndex, mark.index);
    }
    if (hardState !== undefined) this.#items.push(stateItem(hardState));
    for (let i = 0; i < entries.length; i++) this.#items.push({ kind: 'entry', entry: entries[i]! });
    const last = entries.at(-1);
    if (last !== undefined) this.#lastIndex = last.index;
  }

  /** Resolves when everything appended before this call is durable. Rejects, for ever after, once the disk failed. */
  sync(): Promise<void> {
    if (this.#poison !== undefined) return Promise.reject(this.#poison);
    this.#mustWork();
    this.#next ??= new Deferred<void>();
    const { promise } = this.#next;
    if (!this.#flushing) this.#running = this.#flush();
    return promise;
  }

  /** Removes segments that hold only entries up to `index`. The segment being written always stays. */
  async release(index: number): Promise<void> {
    const { disk, directory, crash } = this.#options;
    crash.hit('walBeforeRelease');
    let removed = 0;
    while (this.#segments.length > 1 && this.#segments[1]!.firstIndex <= index + 1) {
      const oldest = this.#segments[0]!;
      await guard('remove', () => disk.remove(joinPath(directory, oldest.name)));
      // One after another and durably, so that a crash never leaves a hole in the middle.
      await guard('sync', () => disk.syncDirectory(directory));
      this.#segments.shift();
      removed++;
      crash.hit('walMidRelease');
    }
    if (removed > 0) this.#options.logger.debug('released segments of the log', { removed, index });
  }

  /** Waits for the group under way, then closes the file. What was appended and not synced is dropped. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#idle?.cancel();
    await this.#running;
    this.#closed = true;
    this.#idle?.cancel();
    const spare = await this.#spare?.catch(() => undefined);
    await spare?.close();
    await this.#open.file.close();
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    this.#idle?.cancel();
    let hadData = false;
    for (let done = this.#next; done !== undefined; done = this.#next) {
      const items = this.#items;
      this.#items = [];
      this.#next = undefined;
      try {
        await this.#writeGroup(items);
      } catch (error) {
        this.#poison = error;
        done.reject(error);
        const waiting = this.#next as Deferred<void> | undefined;
        waiting?.reject(error);
        return;
      }
      done.resolve();
      hadData = items.length > 0;
    }
    this.#flushing = false;
    // One empty group is enough, or an idle log would grow for ever.
    if (hadData) this.#markIdle();
  }

  #markIdle(): void {
    this.#idle = this.#options.clock.after(idleMarkMs, () => {
      if (this.#closed || this.#poison !== undefined || this.#flushing) return;
      // An empty group is what a sync with nothing staged writes. Whoever works with the log next learns of a failure.
      this.sync().catch(() => {});
    });
  }

  async #writeGroup(staged: readonly Item[]): Promise<void> {
    const { crash, clock, logger } = this.#options;
    const items = staged.length > 0 ? staged : [fillerItem(this.#open.position)];
    const bytesMax = groupBytesMax(items);
    if (this.#open.position + bytesMax + sealBytes > this.#open.header.sizeBytes) await this.#cut(items, bytesMax);
    const { file, position, header } = this.#open;
    const place = { lsn: this.#lsn, group: this.#group, seed: seedOf(header.salt), chain: this.#chain };
    const { chunks, sizeBytes, chain } = this.#encoder.encode(items, place);
    crash.hit('walBeforeAppend');
    const startedMs = clock.nowMs();
    this.#syncStartedAtMs = startedMs;
    const written = guard('sync', () => file.writeAndSync(position, chunks));
    crash.hit('walAfterAppendBeforeSync');
    await written;
    crash.hit('walAfterSyncBeforeAck');
    this.#syncStartedAtMs = undefined;
    const tookMs = clock.nowMs() - startedMs;
    this.#fsyncSeconds.observe(tookMs / 1000);
    if (tookMs > slowSyncMs) logger.warn('slow fdatasync', { tookMs, bytes: sizeBytes });
    this.#bytesWritten += sizeBytes;
    this.#writeBytes.set(this.#bytesWritten);
    for (const item of items) {
      if (item.kind !== 'bytes') continue;
      if (item.type === RecordType.state) this.#durableState = item;
      else if (item.type === RecordType.snapshot) this.#durableMark = item;
    }
    this.#open.position = position + sizeBytes;
    this.#lsn += sizeBytes;
    this.#group++;
    this.#chain = chain;
    if (this.#open.position > header.sizeBytes / 2) this.#prepareSpare();
  }

  /** Goes on in a new segment: that one durable first, then the seal on the old one, so a seal proves that a successor existed. */
  async #cut(items: readonly Item[], groupBytes: number): Promise<void> {
    const { crash, segmentSizeBytes } = this.#options;
    crash.hit('walBeforeCut');
    const old = this.#open;
    const before = { lsn: this.#lsn, group: this.#group, chain: this.#chain };
    const room = segmentHeaderBytes + this.#headBytes() + groupBytes + sealBytes;
    const first = items.find((item) => item.kind === 'entry');
    await this.#startSegment(Math.max(segmentSizeBytes, room), first?.entry.index ?? this.#lastIndex + 1);
    const payload = Buffer.alloc(sealPayloadBytes);
    writeNumber(payload, 0, this.#open.header.sequence);
    const seal: Item = { kind: 'bytes', type: RecordType.crc, payload };
    const { chunks } = this.#encoder.encode([seal], { ...before, seed: seedOf(old.header.salt) });
    await guard('sync', () => old.file.writeAndSync(old.position, chunks));
    await guard('sync', () => old.file.close());
  }

  async #startSegment(sizeBytes: number, firstIndex: number): Promise<void> {
    const { disk, directory, random, crash, segmentSizeBytes } = this.#options;
    const sequence = (this.#segments.at(-1)?.sequence ?? -1) + 1;
    const header: SegmentHeader = {
      ...this.#metadata,
      sequence,
      firstIndex,
      sizeBytes,
      firstLsn: this.#lsn,
      firstGroup: this.#group,
      salt: randomId(random),
      chain: this.#chain,
    };
    const file = await guard('write', () =>
      sizeBytes === segmentSizeBytes && this.#spare !== undefined
        ? this.#spare
        : createZeroed(disk, joinPath(directory, `segment-${sequence}.tmp`), sizeBytes),
    );
    if (sizeBytes === segmentSizeBytes) this.#spare = undefined;
    crash.hit('walAfterPreallocate');
    const place = { lsn: this.#lsn, group: this.#group, seed: seedOf(header.salt), chain: this.#chain };
    const encoded = this.#encoder.encode(this.#headItems(), place);
    const name = await guard('sync', () => nameSegment({ disk, directory, crash }, file, header, encoded.chunks));
    this.#segments.push(name);
    this.#open = { name, header, file, position: segmentHeaderBytes + encoded.sizeBytes };
    this.#lsn += encoded.sizeBytes;
    this.#group++;
    this.#chain = encoded.chain;
  }

  /**
   * Every segment begins with what a reader needs who has none of the earlier ones. Only what is durable already: the group that
   * made the segment necessary may never follow, and a hard state of it would speak of entries that do not exist.
   */
  #headItems(): Item[] {
    const payload = Metadata.encode(this.#metadata);
    const items: Item[] = [{ kind: 'bytes', type: RecordType.metadata, payload }];
    if (this.#durableMark !== undefined) items.push(this.#durableMark);
    if (this.#durableState !== undefined) items.push(this.#durableState);
    return items;
  }

  #headBytes(): number {
    return groupBytesMax(this.#headItems());
  }

  /** Fills the next segment with zeros ahead of time, in the background. */
  #prepareSpare(): void {
    if (this.#spare !== undefined || this.#closed) return;
    const { disk, directory, segmentSizeBytes } = this.#options;
    this.#spare = createZeroed(disk, joinPath(directory, spareName), segmentSizeBytes);
    // A failure shows when the segment is needed.
    this.#spare.catch(() => {});
  }

  #mustWork(): void {
    if (this.#poison !== undefined) throw this.#poison;
    if (this.#closed) throw new FatalError('the log is closed');
  }
}

/** Runs a disk operation; whatever goes wrong is a StorageError and final. */
async function guard<T>(verb: 'write' | 'sync' | 'remove', run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof FatalError) throw error;
    throw new StorageError('wal', verb, error instanceof Error ? error.message : String(error), {}, error);
  }
}
