/**
 * What leaves a connection, gathered until the end of a turn and then written at once. Small things are copied into a chunk of
 * memory; large ones are only referred to. A chunk whose bytes the kernel took during the write is used again; one that is still
 * being written is left to the garbage collector.
 */
import type { Socket } from 'node:net';

const chunkBytes = 32 * 1024;
const pooledMax = 32;
/** Buffers from this size on are not copied. */
const referenceBytesMin = 4 * 1024;

/** Chunks that are nobody's, shared by the connections of a transport. */
export class ChunkPool {
  private readonly chunks: Buffer[] = [];

  take(): Buffer {
    return this.chunks.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
  }

  give(chunk: Buffer): void {
    if (this.chunks.length < pooledMax) this.chunks.push(chunk);
  }
}

export class Output {
  /** Where {@link reserve} found room. */
  chunk: Buffer = noChunk;
  /** Bytes gathered since the last flush. */
  sizeBytes = 0;
  private readonly pool: ChunkPool;
  /** Everything before what lies in `chunk` from `start` on. */
  private readonly pieces: Buffer[] = [];
  private start = 0;
  private at = 0;

  constructor(pool: ChunkPool) {
    this.pool = pool;
  }

  /** Room for `count` bytes, much less than a chunk, in {@link chunk} from the returned offset on; to be filled at once. */
  reserve(count: number): number {
    if (this.at + count > this.chunk.length) this.nextChunk();
    const at = this.at;
    this.at = at + count;
    this.sizeBytes += count;
    return at;
  }

  /** Appends `bytes`, which are not changed any more. */
  append(bytes: Buffer): void {
    if (bytes.length < referenceBytesMin) {
      // reserve may exchange the chunk, so it comes first.
      const at = this.reserve(bytes.length);
      this.chunk.set(bytes, at);
      return;
    }
    this.seal();
    this.pieces.push(bytes);
    this.sizeBytes += bytes.length;
  }

  /** Writes everything to `socket`. */
  flush(socket: Socket): void {
    if (this.sizeBytes === 0) return;
    this.sizeBytes = 0;
    if (this.pieces.length === 0) {
      socket.write(this.chunk.subarray(0, this.at));
    } else {
      this.seal();
      socket.cork();
      for (const piece of this.pieces) socket.write(piece);
      socket.uncork();
      this.pieces.length = 0;
    }
    // Nothing left to write means that the kernel has it all, so the memory is free again.
    if (socket.writableLength === 0 && this.chunk !== noChunk) this.pool.give(this.chunk);
    this.chunk = noChunk;
    this.start = 0;
    this.at = 0;
  }

  /** Forgets everything. */
  clear(): void {
    this.pieces.length = 0;
    this.chunk = noChunk;
    this.start = 0;
    this.at = 0;
    this.sizeBytes = 0;
  }

  private seal(): void {
    if (this.at > this.start) this.pieces.push(this.chunk.subarray(this.start, this.at));
    this.start = this.at;
  }

  private nextChunk(): void {
    this.seal();
    this.chunk = this.pool.take();
    this.start = 0;
    this.at = 0;
  }
}

const noChunk: Buffer = Buffer.alloc(0);
