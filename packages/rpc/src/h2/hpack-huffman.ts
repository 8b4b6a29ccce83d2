/**
 * The Huffman code of HPACK (RFC 7541, 5.2 and Appendix B). The code is canonical: codes of one length are consecutive numbers
 * in the order of their symbols, so the lengths alone define it. Decoding goes by half bytes through a table of states, one
 * state per inner node of the code tree; the shortest code has five bits, so a half byte ends one symbol at most.
 */

/** Bits of the code of each byte, then of the end-of-string symbol. */
const codeBits: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const endOfString = 256;
const longestBits = 30;

/** One code: the low `bits` bits of `code`. Index 256 is the end of string. */
export interface HuffmanCode {
  readonly code: number;
  readonly bits: number;
}

/** The code of every byte and of the end of string, by symbol. */
export const huffmanCodes: readonly HuffmanCode[] = canonicalCodes();

/** Longest decoded form of `encodedBytes` bytes: five bits a symbol. */
export function huffmanDecodedBytesMax(encodedBytes: number): number {
  return Math.floor((encodedBytes * 8) / 5);
}

/**
 * Decodes `bytes` in [start, end) to `into`, which has room for {@link huffmanDecodedBytesMax}. Returns the number of bytes
 * written, or -1 when the bits are no text: an end-of-string symbol, or padding that is longer than seven bits or not all ones.
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number, into: Buffer): number {
  let written = 0;
  let state = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    let step = transitions[(state << 4) | (byte >>> 4)]!;
    if ((step & emits) !== 0) into[written++] = step >>> symbolShift;
    step = transitions[((step & stateMask) << 4) | (byte & 15)]!;
    if ((step & emits) !== 0) into[written++] = step >>> symbolShift;
    // A failed state leads to itself, so looking once per byte is enough.
    if ((step & failed) !== 0) return -1;
    state = step & stateMask;
  }
  return accepting[state] === 1 ? written : -1;
}

// A transition: next state in the low bits, then two flags, then the symbol.
const stateMask = 0x1ff;
const emits = 0x200;
const failed = 0x400;
const symbolShift = 11;
/** One more than there are inner nodes. */
const failedState = 256;

const { transitions, accepting } = buildStates();

function canonicalCodes(): HuffmanCode[] {
  const codes: HuffmanCode[] = [];
  let next = 0;
  for (let bits = 1; bits <= longestBits; bits++) {
    next *= 2;
    for (let symbol = 0; symbol <= endOfString; symbol++) {
      if (codeBits[symbol] === bits) codes[symbol] = { code: next++, bits };
    }
  }
  return codes;
}

/** An inner node of the code tree; what each bit leads to is another one or a symbol. */
interface Node {
  readonly index: number;
  readonly children: [Node | undefined, Node | undefined];
  readonly symbols: [number, number];
}

function buildStates(): { transitions: Uint32Array; accepting: Uint8Array } {
  const nodes = codeTree();
  const root = nodes[0]!;
  const table = new Uint32Array((failedState + 1) * 16).fill(failed | failedState);
  for (const node of nodes) {
    for (let nibble = 0; nibble < 16; nibble++) table[node.index * 16 + nibble] = transition(node, root, nibble);
  }
  const accepts = new Uint8Array(failedState + 1);
  // Padding is the beginning of the end-of-string symbol, which is all ones, of at most seven bits.
  let node = root;
  for (let bits = 0; bits <= 7; bits++) {
    accepts[node.index] = 1;
    node = node.children[1]!;
  }
  return { transitions: table, accepting: accepts };
}

/** All inner nodes, the root first. */
function codeTree(): Node[] {
  const nodes: Node[] = [];
  const newNode = (): Node => {
    const node: Node = { index: nodes.length, children: [undefined, undefined], symbols: [0, 0] };
    nodes.push(node);
    return node;
  };
  const root = newNode();
  huffmanCodes.forEach(({ code, bits }, symbol) => {
    let node = root;
    for (let bit = bits - 1; bit > 0; bit--) {
      const side = ((code >>> bit) & 1) as 0 | 1;
      node.children[side] ??= newNode();
      node = node.children[side];
    }
    node.symbols[(code & 1) as 0 | 1] = symbol;
  });
  return nodes;
}

function transition(from: Node, root: Node, nibble: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const side = ((nibble >>> bit) & 1) as 0 | 1;
    const child = node.children[side];
    if (child === undefined) {
      const symbol = node.symbols[side];
      if (symbol === endOfString) return failed | failedState;
      emitted = emits | (symbol << symbolShift);
      node = root;
    } else {
      node = child;
    }
  }
  return emitted | node.index;
}
