/**
 * Decodes header blocks (RFC 7541). Fields that refer to a table are handed on as they are, without a new object. Whatever is
 * wrong ends the connection with COMPRESSION_ERROR, since the tables of both sides may differ from then on.
 */
import { ErrorCode } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';
import { HeaderField } from './header-field.ts';
import { decodeHuffman, huffmanDecodedBytesMax } from './hpack-huffman.ts';
import { staticEntryMax, staticTable } from './hpack-static.ts';
import { DynamicTable } from './hpack-table.ts';

/** Size of the dynamic table clients may use; HTTP/2's default (SETTINGS_HEADER_TABLE_SIZE). */
export const headerTableBytes = 4_096;

/** More bytes than this after the first one make no integer that could be valid. */
const integerBytesMax = 4;

/** What one block decoded to. */
export interface DecodedBlock {
  /** In order; cut off once the limit was passed. */
  readonly fields: HeaderField[];
  /** The sum of the sizes of all fields exceeded the limit. */
  readonly tooLarge: boolean;
}

export class HpackDecoder {
  readonly table: DynamicTable = new DynamicTable(headerTableBytes);
  /** Whether the last block referred to an entry of the dynamic table. */
  usedDynamicTable = false;
  private readonly listBytesMax: number;
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  private end = 0;

  /** `listBytesMax`: SETTINGS_MAX_HEADER_LIST_SIZE; what lies beyond is decoded, for the tables' sake, and dropped. */
  constructor(listBytesMax: number) {
    this.listBytesMax = listBytesMax;
  }

  /** Decodes the block in `bytes` from `start` to `end`. Throws ConnectionError. */
  decode(bytes: Buffer, start: number, end: number): DecodedBlock {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.usedDynamicTable = false;
    this.sizeUpdates();
    const fields: HeaderField[] = [];
    let listBytes = 0;
    while (this.at < this.end) {
      const field = this.field();
      listBytes += field.sizeBytes;
      if (listBytes <= this.listBytesMax) fields.push(field);
    }
    return { fields, tooLarge: listBytes > this.listBytesMax };
  }

  /** Changes of the table's size come before all fields, at most two of them (RFC 7541, 4.2). */
  private sizeUpdates(): void {
    let count = 0;
    while (this.at < this.end && (this.bytes[this.at]! & 0xe0) === 0x20) {
      if (++count > 2) throw corrupt('too many table size updates');
      const sizeBytes = this.integer(0x1f);
      if (sizeBytes > headerTableBytes) throw corrupt('table size above the limit');
      this.table.resize(sizeBytes);
    }
  }

  private field(): HeaderField {
    const first = this.bytes[this.at]!;
    if ((first & 0x80) !== 0) return this.indexed(this.integer(0x7f));
    if ((first & 0x40) !== 0) {
      const field = this.literal(this.integer(0x3f));
      this.table.add(field);
      return field;
    }
    if ((first & 0x20) !== 0) throw corrupt('table size update after a field');
    return this.literal(this.integer(0x0f));
  }

  private indexed(index: number): HeaderField {
    if (index <= staticEntryMax) {
      if (index === 0) throw corrupt('index zero');
      return staticTable[index]!;
    }
    this.usedDynamicTable = true;
    const field = this.table.get(index - staticEntryMax - 1);
    if (field === undefined) throw corrupt('index beyond the table');
    return field;
  }

  private literal(nameIndex: number): HeaderField {
    const name = nameIndex === 0 ? this.string() : this.indexed(nameIndex).name;
    return new HeaderField(name, this.string());
  }

  /** An integer whose first bits are under `mask` (RFC 7541, 5.1). */
  private integer(mask: number): number {
    let value = this.next() & mask;
    if (value < mask) return value;
    for (let i = 0; i < integerBytesMax; i++) {
      const byte = this.next();
      value += (byte & 0x7f) << (7 * i);
      if ((byte & 0x80) === 0) return value;
    }
    throw corrupt('integer too long');
  }

  private string(): string {
    if (this.at >= this.end) throw corrupt('block ends early');
    const isHuffman = (this.bytes[this.at]! & 0x80) !== 0;
    const length = this.integer(0x7f);
    const start = this.at;
    if (length > this.end - start) throw corrupt('string beyond the block');
    this.at = start + length;
    if (!isHuffman) return this.bytes.toString('latin1', start, this.at);
    const into = scratchFor(length);
    const decodedBytes = decodeHuffman(this.bytes, start, this.at, into);
    if (decodedBytes === -1) throw corrupt('invalid huffman code');
    return into.toString('latin1', 0, decodedBytes);
  }

  private next(): number {
    if (this.at >= this.end) throw corrupt('block ends early');
    return this.bytes[this.at++]!;
  }
}

/** Where strings are decoded to before they become strings; longer ones get memory of their own. */
const scratch: Buffer = Buffer.allocUnsafeSlow(8 * 1024);

function scratchFor(encodedBytes: number): Buffer {
  const needed = huffmanDecodedBytesMax(encodedBytes);
  return needed <= scratch.length ? scratch : Buffer.allocUnsafeSlow(needed);
}

function corrupt(reason: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, `hpack: ${reason}`);
}
