/**
 * Damage to the store of a member, one byte at a time, where it hurts: in a value, in a key on a leaf, on a page that leads to
 * others, on a page that begins the file. Reads just enough of lmdb's page format to find such places: pages of 4 KiB, at byte 18
 * of each its flags, at 20 twice the number of its entries, from byte 24 on their positions, counted from there.
 */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const pageBytes = 4096;
const pageFlags = { branch: 0x01, leaf: 0x02, meta: 0x08 } as const;
const pageHeaderBytes = 24;
const nodeHeaderBytes = 8;
/** On a meta page, the number of the page where the tree begins. */
const mainRootOffset = 136;

export type DamagedPart = 'value' | 'leafKey' | 'branch' | 'meta';

/** Where a byte was turned, for the report of a test. */
export interface Damage {
  readonly part: DamagedPart;
  readonly position: number;
}

/**
 * Turns one byte of the store in `directory`: every copy of it that old pages still hold, too. `needle` is a value that is stored
 * once; the page with it is the one whose key is damaged.
 */
export function damageStore(directory: string, part: DamagedPart, needle: string): Damage {
  const path = join(directory, 'db');
  const bytes = readFileSync(path);
  const positions = positionsOf(bytes, part, Buffer.from(needle));
  if (positions.length === 0) throw new Error(`no ${part} to damage in ${path}`);
  const file = openSync(path, 'r+');
  for (const position of positions) writeSync(file, Buffer.of(bytes[position]! ^ 0x10), 0, 1, position);
  closeSync(file);
  return { part, position: positions[0]! };
}

/**
 * Changes the value `needle` of the store in `directory` so that nothing shows it but the value itself: its checksum is made anew. As
 * if the member had computed something else than the others.
 */
export function forgeValue(directory: string, needle: string): void {
  const path = join(directory, 'db');
  const bytes = readFileSync(path);
  let forged = 0;
  for (const at of occurrences(bytes, Buffer.from(needle))) {
    const node = nodeAround(bytes, at);
    if (node === undefined) continue;
    const keySize = bytes.readUInt16LE(node + 6);
    // Behind the byte that names the bucket.
    const key = bytes.subarray(node + nodeHeaderBytes + 1, node + nodeHeaderBytes + keySize);
    const row = node + nodeHeaderBytes + keySize;
    const record = bytes.subarray(row + 4, row + bytes.readUInt16LE(node) + bytes.readUInt16LE(node + 2) * 0x10000);
    bytes[at]! ^= 1;
    bytes.writeUInt32BE(crc32c(Buffer.concat([key, record])), row);
    forged++;
  }
  if (forged === 0) throw new Error(`no value to forge in ${path}`);
  writeFileSync(path, bytes);
}

function positionsOf(bytes: Buffer, part: DamagedPart, needle: Buffer): number[] {
  switch (part) {
    case 'value':
      return occurrences(bytes, needle).map((at) => at + 2);
    case 'leafKey':
      return occurrences(bytes, needle).flatMap((at) => keyPosition(bytes, at));
    case 'branch':
      return pagesWith(bytes, pageFlags.branch).map((page) => firstNode(bytes, page, 1));
    // The number of the root page of the main tree, on both meta pages.
    case 'meta':
      return pagesWith(bytes, pageFlags.meta)
        .slice(0, 2)
        .map((page) => page + mainRootOffset + 1);
  }
}

function occurrences(bytes: Buffer, needle: Buffer): number[] {
  const found: number[] = [];
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) found.push(at);
  return found;
}

function pagesWith(bytes: Buffer, flag: number): number[] {
  const found: number[] = [];
  for (let page = 0; page + pageBytes <= bytes.length; page += pageBytes) {
    if (bytes.readUInt16LE(page + 18) === flag) found.push(page);
  }
  return found;
}

/** The last byte of the key of node `index` of a page. */
function firstNode(bytes: Buffer, page: number, index: number): number {
  const node = page + pageHeaderBytes + bytes.readUInt16LE(page + pageHeaderBytes + 2 * index);
  return node + nodeHeaderBytes + bytes.readUInt16LE(node + 6) - 1;
}

/** The second last byte of the key whose value lies around `at`; none when the page is no leaf. */
function keyPosition(bytes: Buffer, at: number): number[] {
  const node = nodeAround(bytes, at);
  return node === undefined ? [] : [node + nodeHeaderBytes + bytes.readUInt16LE(node + 6) - 2];
}

/** Where the entry of a leaf that holds `at` begins. */
function nodeAround(bytes: Buffer, at: number): number | undefined {
  const page = Math.floor(at / pageBytes) * pageBytes;
  if ((bytes.readUInt16LE(page + 18) & pageFlags.leaf) === 0) return undefined;
  const count = bytes.readUInt16LE(page + 20) / 2;
  const nodes = Array.from(
    { length: count },
    (_, i) => page + pageHeaderBytes + bytes.readUInt16LE(page + pageHeaderBytes + 2 * i),
  );
  return nodes.filter((start) => start < at).sort((a, b) => b - a)[0];
}

/** CRC-32C, bit by bit. */
function crc32c(bytes: Buffer): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
