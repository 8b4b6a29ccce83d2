/**
 * Reads protobuf fields from bytes that anybody may have sent. Everything malformed is a DecodeError: truncated values,
 * varints beyond 64 bits, field number 0, unmatched groups, invalid UTF-8, nesting deeper than 100. A field whose wire type
 * does not fit its declaration is an unknown field and skipped, as the protobuf specification asks.
 *
 * Bounds are checked against the whole buffer where a value is read, and against the enclosing message once, at its end:
 * a message's loop must stop exactly at `end` (see checkEnd), so a field that runs over it is found there.
 */
import { DecodeError } from './decode-error.ts';
import { emptyBytes, signedFromHalves, unsignedFromHalves, WireType, window64 } from './wire.ts';

/** Messages (and groups) inside messages; deeper input is refused before the stack is. */
export const nestingMax = 100;

/**
 * A position in a buffer. Byte fields are views of that buffer. Private by keyword and not by #: private names cost 25 ns per
 * object made.
 */
export class Reader {
  readonly buffer: Buffer;
  /** Offset of the next byte. */
  pos: number;
  private depth = 0;
  // Halves of the varint read last by varint().
  private low = 0;
  private high = 0;

  constructor(bytes: Buffer) {
    this.buffer = bytes;
    this.pos = 0;
  }

  /** The next field's number times eight plus its wire type. */
  tag(): number {
    const pos = this.pos;
    const first = this.buffer[pos];
    if (first !== undefined && first < 0x80 && first > 7) {
      this.pos = pos + 1;
      return first;
    }
    this.varint();
    if (this.high !== 0) throw new DecodeError('field number out of range', pos);
    if (this.low < 8) throw new DecodeError('field number 0', pos);
    return this.low;
  }

  /** Low 32 bits of a varint, unsigned. */
  uint32(): number {
    const first = this.buffer[this.pos];
    if (first !== undefined && first < 0x80) {
      this.pos++;
      return first;
    }
    this.varint();
    return this.low;
  }

  /** Low 32 bits of a varint, signed: int32 and enums. */
  int32(): number {
    return this.uint32() | 0;
  }

  /** True when any of the 64 bits is set. */
  bool(): boolean {
    const first = this.buffer[this.pos];
    if (first !== undefined && first < 0x80) {
      this.pos++;
      return first !== 0;
    }
    this.varint();
    return this.low !== 0 || this.high !== 0;
  }

  /** An int64 as a number, clamped to ±(2^53−1). */
  int64(): number {
    const first = this.buffer[this.pos];
    if (first !== undefined && first < 0x80) {
      this.pos++;
      return first;
    }
    this.varint();
    return signedFromHalves(this.low, this.high);
  }

  /** A uint64 as a number, clamped to 2^53−1. */
  uint64(): number {
    const first = this.buffer[this.pos];
    if (first !== undefined && first < 0x80) {
      this.pos++;
      return first;
    }
    this.varint();
    return unsignedFromHalves(this.low, this.high);
  }

  /** All 64 bits, as an unsigned bigint. */
  biguint(): bigint {
    this.varint();
    window64.setUint32(0, this.low, true);
    window64.setUint32(4, this.high, true);
    return window64.getBigUint64(0, true);
  }

  /** All 64 bits, as a signed bigint. */
  bigint(): bigint {
    this.varint();
    window64.setUint32(0, this.low, true);
    window64.setUint32(4, this.high, true);
    return window64.getBigInt64(0, true);
  }

  /** A length-delimited field as a view of the input. */
  bytes(): Buffer {
    const end = this.delimited();
    const start = this.pos;
    this.pos = end;
    return start === end ? emptyBytes : this.buffer.subarray(start, end);
  }

  /** A length-delimited field as text; bytes that are not UTF-8 are refused, as Go does for proto3. */
  string(): string {
    const end = this.delimited();
    const start = this.pos;
    this.pos = end;
    if (start === end) return '';
    const text = this.buffer.toString('utf8', start, end);
    // The decoder replaces what is invalid by U+FFFD. One that was really sent survives the way back.
    if (text.includes('\ufffd') && this.buffer.compare(Buffer.from(text), 0, undefined, start, end) !== 0) {
      throw new DecodeError('invalid UTF-8', start);
    }
    return text;
  }

  /** Reads a length and returns where the payload ends; the position is then at its first byte. */
  delimited(): number {
    const at = this.pos;
    const first = this.buffer[at];
    let length: number;
    if (first !== undefined && first < 0x80) {
      this.pos = at + 1;
      length = first;
    } else {
      this.varint();
      length = unsignedFromHalves(this.low, this.high);
    }
    const end = this.pos + length;
    if (end > this.buffer.length) throw new DecodeError('length past the end', at);
    return end;
  }

  /** Like {@link delimited} for a nested message, which must call {@link leave} after it was read. */
  enter(): number {
    if (this.depth >= nestingMax) throw new DecodeError('nested too deeply', this.pos);
    this.depth++;
    return this.delimited();
  }

  /** Ends what {@link enter} began. */
  leave(): void {
    this.depth--;
  }

  /** The end of a message's loop: its last field must end where the message does. */
  checkEnd(end: number): void {
    if (this.pos !== end) throw new DecodeError('field past the end of its message', end);
  }

  /** Passes over the value of an unknown field whose tag was just read. */
  skip(tag: number): void {
    switch (tag & 7) {
      case WireType.varint:
        this.varint();
        return;
      case WireType.fixed64:
        this.advance(8);
        return;
      case WireType.bytes:
        this.pos = this.delimited();
        return;
      case WireType.startGroup:
        this.skipGroup(tag);
        return;
      case WireType.fixed32:
        this.advance(4);
        return;
      default:
        throw new DecodeError('unexpected wire type', this.pos);
    }
  }

  private skipGroup(startTag: number): void {
    if (this.depth >= nestingMax) throw new DecodeError('nested too deeply', this.pos);
    this.depth++;
    const endTag = startTag + 1;
    for (;;) {
      const tag = this.tag();
      if (tag === endTag) break;
      this.skip(tag);
    }
    this.depth--;
  }

  private advance(count: number): void {
    if (this.pos + count > this.buffer.length) throw new DecodeError('truncated', this.pos);
    this.pos += count;
  }

  /** Reads a varint into low and high. The loop is for the common short ones, of up to 28 bits. */
  private varint(): void {
    const start = this.pos;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.buffer[this.pos++];
      if (byte === undefined) throw new DecodeError('truncated varint', start);
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.low = low;
        this.high = 0;
        return;
      }
    }
    this.longVarint(low, start);
  }

  /** The bytes behind the first four: the fifth is shared by both halves, the tenth has room for one bit. */
  private longVarint(low: number, start: number): void {
    let byte = this.buffer[this.pos++];
    if (byte === undefined) throw new DecodeError('truncated varint', start);
    let high = (byte & 0x7f) >>> 4;
    this.low = (low | (byte << 28)) >>> 0;
    for (let shift = 3; byte >= 0x80; shift += 7) {
      byte = this.buffer[this.pos++];
      if (byte === undefined) throw new DecodeError('truncated varint', start);
      if (shift === 31 && byte > 1) throw new DecodeError('varint beyond 64 bits', start);
      high |= (byte & 0x7f) << shift;
    }
    this.high = high >>> 0;
  }
}
