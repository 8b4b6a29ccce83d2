/**
 * raftpb.Entry written straight into the staging buffer: no writer object, no intermediate bytes. Data is the last field, so a
 * payload is a few bytes of prefix and then the data as it is, which need not be copied when it is large. The bytes are those of
 * package proto's codec; a property compares them.
 */
import type { Entry } from '@quorate/proto';

const termTag = 8;
const indexTag = 16;
const typeTag = 24;
const dataTag = 34;

/** Three tags with varints of up to 8 bytes, a tag, a length of up to 5. */
export const entryPrefixBytesMax: number = 3 * 9 + 6;

/** Writes everything before the data at `at` and returns where it ended. There must be room for {@link entryPrefixBytesMax}. */
export function writeEntryPrefix(bytes: Buffer, at: number, entry: Entry): number {
  let end = at;
  if (entry.term !== 0) end = writeVarint(bytes, end, termTag, entry.term);
  if (entry.index !== 0) end = writeVarint(bytes, end, indexTag, entry.index);
  if (entry.type !== 0) end = writeVarint(bytes, end, typeTag, entry.type);
  if (entry.data.length !== 0) end = writeVarint(bytes, end, dataTag, entry.data.length);
  return end;
}

/** A tag below 128 and a whole number in [0, 2^53). */
function writeVarint(bytes: Buffer, at: number, tag: number, value: number): number {
  let end = at;
  let rest = value;
  bytes[end++] = tag;
  // Above 32 bits there are no bit operators; the first digits are taken off by division.
  while (rest > 0x7fff_ffff) {
    bytes[end++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  while (rest > 0x7f) {
    bytes[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[end++] = rest;
  return end;
}
