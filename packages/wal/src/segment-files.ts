/**
 * The files of an open log: the segment being written, those before it, the one prepared for afterwards. A new segment is durable
 * under its name before the old one gets its seal, and that before anything in the new one is acknowledged. So a seal proves that
 * there was a successor, and a log cannot lose its newest segment unnoticed.
 */
import { type CrashPoints, type Disk, type DiskFile, joinPath } from '@quorate/base';
import { onDisk } from './disk-error.ts';
import { encodeSegmentHeader } from './format.ts';
import type { SegmentStart } from './group.ts';
import { type SegmentName, segmentName, tornSuffix } from './segment-name.ts';
import { Spare, type SpareOptions } from './zero-fill.ts';

/** The segment that is written to. */
export interface ActiveSegment {
  readonly name: SegmentName;
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

export interface SegmentFilesOptions extends SpareOptions {
  readonly crash: CrashPoints;
}

export class SegmentFiles {
  readonly #options: SegmentFilesOptions;
  readonly #disk: Disk;
  readonly #spare: Spare;
  /** Segments before the active one that were not released, in order. */
  readonly #closed: SegmentName[];
  #active: ActiveSegment | undefined;
  #releasing: Promise<void> = Promise.resolve();

  constructor(options: SegmentFilesOptions, closed: readonly SegmentName[], active: ActiveSegment | undefined) {
    this.#options = options;
    this.#disk = options.disk;
    this.#spare = new Spare(options);
    this.#closed = [...closed];
    this.#active = active;
  }

  /** Writes a group into the active segment and makes it durable. */
  async write(position: number, chunks: readonly Uint8Array[], sizeBytes: number): Promise<void> {
    const active = this.#active!;
    await onDisk('sync', this.#path(active.name), () => active.file.writeAndSync(position, chunks));
    this.#spare.prepare((position + sizeBytes) / active.sizeBytes);
  }

  /** Begins a segment with its header and first group. */
  async begin(start: SegmentStart, firstGroup: readonly Uint8Array[]): Promise<void> {
    const { crash, directory } = this.#options;
    const { header, seal } = start;
    crash.hit('walBeforeCut');
    const file = await this.#spare.take(header.sizeBytes);
    crash.hit('walAfterPreallocate');
    const name = segmentName(header.sequence, header.firstIndex);
    const path = this.#path(name);
    await onDisk('sync', path, () => file.writeAndSync(0, [encodeSegmentHeader(header), ...firstGroup]));
    crash.hit('walAfterSegmentHeader');
    await onDisk('rename', path, () => this.#disk.rename(this.#spare.path, path));
    crash.hit('walAfterRename');
    await onDisk('sync', directory, () => this.#disk.syncDirectory(directory));
    crash.hit('walAfterDirectorySync');
    const before = this.#active;
    if (before !== undefined && seal !== undefined) {
      await onDisk('sync', this.#path(before.name), () => before.file.writeAndSync(seal.position, [seal.bytes]));
      await onDisk('sync', this.#path(before.name), () => before.file.close());
      this.#closed.push(before.name);
    }
    this.#active = { name, file, sizeBytes: header.sizeBytes };
  }

  /**
   * Removes segments without live entries above `index`, oldest first, each durably before the next, so that a crash leaves no gap.
   * One release at a time.
   */
  release(index: number): Promise<void> {
    const released = this.#releasing.then(() => this.#release(index));
    // The caller gets the error; the chain only keeps the order.
    this.#releasing = released.catch(() => {});
    return released;
  }

  async close(): Promise<void> {
    await this.#releasing;
    await this.#spare.close();
    const active = this.#active;
    if (active !== undefined) await onDisk('sync', this.#path(active.name), () => active.file.close());
  }

  async #release(index: number): Promise<void> {
    const { crash, directory } = this.#options;
    const released = this.#countReleasable(index);
    if (released === 0) return;
    crash.hit('walBeforeRelease');
    for (let i = 0; i < released; i++) {
      const path = this.#path(this.#closed[0]!);
      await onDisk('remove', path, async () => {
        await this.#disk.remove(path + tornSuffix);
        await this.#disk.remove(path);
        await this.#disk.syncDirectory(directory);
      });
      this.#closed.shift();
      crash.hit('walMidRelease');
    }
  }

  /** How many of the oldest segments a later one makes superfluous: live entries before it are all below its first index. */
  #countReleasable(index: number): number {
    const names = [...this.#closed, this.#active!.name];
    return Math.max(
      0,
      names.findLastIndex((name) => name.firstIndex <= index + 1),
    );
  }

  #path(name: SegmentName): string {
    return joinPath(this.#options.directory, name.name);
  }
}
