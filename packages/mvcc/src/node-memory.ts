/**
 * Memory for the nodes of a B+ tree, in blocks of many. A piece of memory of its own for every node would be three objects to the garbage
 * collector, and as many trips to memory for a look-up; a block is the same for hundreds of nodes.
 */
import { invariant } from '@quorate/base';

/** Bytes of a node. */
const nodeBytes = 1536;
/** Nodes of a block: 384 KiB are allocated fast enough for one turn. */
const blockShift = 8;
const blockMask = (1 << blockShift) - 1;

/** The same memory, as words of 32 bits and as bytes. */
export interface NodeBlock {
  readonly words: Int32Array;
  readonly bytes: Buffer;
}

/** Gives out pieces of {@link nodeBytes} and takes them back. */
export class NodeMemory {
  static readonly nodeBytes: number = nodeBytes;
  readonly #blocks: NodeBlock[] = [];
  readonly #free: number[] = [];
  #taken = 0;

  /** Pieces that are given out. */
  get inUse(): number {
    return this.#taken - this.#free.length;
  }

  /** A piece; what is in it has no meaning. */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if ((this.#taken & blockMask) === 0) {
      const memory = new ArrayBuffer(nodeBytes << blockShift);
      this.#blocks.push({ words: new Int32Array(memory), bytes: Buffer.from(memory) });
    }
    return this.#taken++;
  }

  /** Gives a piece back. */
  give(piece: number): void {
    invariant(piece < this.#taken, 'memory of a node was never taken', { piece });
    this.#free.push(piece);
  }

  blockOf(piece: number): NodeBlock {
    return this.#blocks[piece >>> blockShift]!;
  }

  /** Where the piece begins in its block, in bytes. */
  startOf(piece: number): number {
    return (piece & blockMask) * nodeBytes;
  }
}
