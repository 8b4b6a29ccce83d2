/**
 * Remembers what recent header blocks of a connection meant. Clients send the same block for every call of a method; finding it
 * again costs a comparison of bytes instead of decoding. The same bytes mean the same as long as the dynamic table is the same,
 * and for ever when they do not refer to it. A block that changes the table is never remembered.
 */
import type { RequestHead } from './request-head.ts';

const entriesMax = 8;
/** Longer blocks are not kept. */
const blockBytesMax = 512;
const anyVersion = -1;

interface Entry {
  readonly block: Buffer;
  /** Version of the dynamic table the block belongs to; anyVersion when it does not matter. */
  readonly version: number;
  readonly head: RequestHead;
}

export class HeadCache {
  private readonly entries: Entry[] = [];
  private nextVictim = 0;

  /** The meaning of the block in `bytes` from `start` to `end`, the dynamic table being at `version`. */
  find(bytes: Buffer, start: number, end: number, version: number): RequestHead | undefined {
    const length = end - start;
    const entries = this.entries;
    for (let i = 0; i < entries.length; i++) {
      const { block, version: of, head } = entries[i]!;
      if (block.length === length && (of === version || of === anyVersion) && isAt(block, bytes, start)) return head;
    }
    return undefined;
  }

  /** Remembers a block; `version` is undefined when it does not refer to the dynamic table. */
  add(block: Buffer, version: number | undefined, head: RequestHead): void {
    if (block.length > blockBytesMax) return;
    const entry: Entry = { block: Buffer.from(block), version: version ?? anyVersion, head };
    if (this.entries.length < entriesMax) {
      this.entries.push(entry);
      return;
    }
    this.entries[this.nextVictim] = entry;
    this.nextVictim = (this.nextVictim + 1) % entriesMax;
  }
}

/** A loop, because a native comparison of so few bytes costs more than the bytes. */
function isAt(block: Buffer, bytes: Buffer, start: number): boolean {
  for (let i = 0; i < block.length; i++) {
    if (block[i] !== bytes[start + i]) return false;
  }
  return true;
}
