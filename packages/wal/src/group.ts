/**
 * One group being put together: the bytes of one sync. Small payloads are copied into a staging buffer, large ones stay where they
 * are and are written between two pieces of it.
 */
import type { Deferred } from '@quorate/base';
import type { SegmentHeader } from './format.ts';

/** What beginning a new segment asks of the disk. */
export interface SegmentStart {
  readonly header: SegmentHeader;
  /** For the end of the segment before, once this one is durable; absent for the first segment of a log. */
  readonly seal: { readonly position: number; readonly bytes: Buffer } | undefined;
}

/** Where a group begins. */
export interface GroupStart {
  /** Offset in the segment's file. */
  readonly position: number;
  readonly lsn: number;
  readonly number: number;
}

export class Group {
  readonly position: number;
  readonly lsn: number;
  readonly number: number;
  /** Set when this is the first group of a new segment. */
  readonly segmentStart: SegmentStart | undefined;
  /** Bytes gathered so far are [0, used). */
  staging: Buffer;
  used = 0;
  /** Where the header of the last record is in `staging`. */
  lastHeaderAt = 0;
  /** Index of the last snapshot mark in it; 0 when there is none. */
  mark = 0;
  /** Last index of the log once this group is durable. */
  lastIndex = 0;
  /** False for the first group of a segment and for an idle mark: nothing is lost with them, so nothing need prove them durable. */
  holdsData = false;
  /** Resolved when the group is durable; made when somebody asks. */
  waiter: Deferred<void> | undefined = undefined;
  readonly #large: Uint8Array[] = [];
  readonly #largeAt: number[] = [];
  #largeBytes = 0;

  constructor(start: GroupStart, segmentStart: SegmentStart | undefined, staging: Buffer) {
    this.position = start.position;
    this.lsn = start.lsn;
    this.number = start.number;
    this.segmentStart = segmentStart;
    this.staging = staging;
  }

  /** Bytes of the group on disk, so far. */
  get sizeBytes(): number {
    return this.used + this.#largeBytes;
  }

  /** Makes room for `bytes` more in the staging buffer, which may be replaced by a larger one. */
  reserve(bytes: number): void {
    const need = this.used + bytes;
    if (need <= this.staging.length) return;
    const larger = Buffer.allocUnsafe(Math.max(need, 2 * this.staging.length));
    this.staging.copy(larger, 0, 0, this.used);
    this.staging = larger;
  }

  /** Puts bytes after what is staged, without copying them. They must not change until the group is durable. */
  insert(bytes: Uint8Array): void {
    this.#large.push(bytes);
    this.#largeAt.push(this.used);
    this.#largeBytes += bytes.length;
  }

  /** All bytes in order; views of the staging buffer, valid until it is used for another group. */
  chunks(): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    let from = 0;
    for (let i = 0; i < this.#large.length; i++) {
      const to = this.#largeAt[i]!;
      chunks.push(this.staging.subarray(from, to), this.#large[i]!);
      from = to;
    }
    if (this.used > from) chunks.push(this.staging.subarray(from, this.used));
    return chunks;
  }
}
