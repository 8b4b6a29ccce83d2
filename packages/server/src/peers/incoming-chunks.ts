/**
 * The chunks of a state that comes in, handed on as the member asks for them. Reading from the network stops while more wait
 * than one read should bring, so a member that is slow to write slows the sender.
 */
import { Deferred } from '@quorate/base';
import type { SnapshotChunk } from '@quorate/proto';

/** Bytes of chunks that wait beyond which nothing is read. */
const waitingBytesMax = 256 * 1024;

/** Where the chunks come from. */
export interface ChunkSource {
  pause(): void;
  resume(): void;
}

export class IncomingChunks {
  /** Bytes of state handed on. */
  bytes = 0;
  readonly #source: () => ChunkSource;
  #chunks: SnapshotChunk[] = [];
  #waitingBytes = 0;
  #isWhole = false;
  #failure: Error | undefined;
  #changed = new Deferred<void>();

  constructor(source: () => ChunkSource) {
    this.#source = source;
  }

  /** The next chunk came. */
  take(chunk: SnapshotChunk): void {
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.data.length;
    if (this.#waitingBytes > waitingBytesMax) this.#source().pause();
    this.#changed.resolve();
  }

  /** There are no more. */
  end(): void {
    this.#isWhole = true;
    this.#changed.resolve();
  }

  /** What came is not all and never will be. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#changed.resolve();
  }

  /** The next chunk; undefined after the last. Rejects when the stream broke. */
  async next(): Promise<SnapshotChunk | undefined> {
    while (this.#chunks.length === 0 && !this.#isWhole && this.#failure === undefined) {
      this.#changed = new Deferred();
      await this.#changed.promise;
    }
    const chunk = this.#chunks.shift();
    if (chunk === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      return undefined;
    }
    this.#waitingBytes -= chunk.data.length;
    if (this.#chunks.length === 0) this.#source().resume();
    return chunk;
  }

  /** The state in the chunks that are left. */
  async *data(): AsyncGenerator<Buffer> {
    for (let chunk = await this.next(); chunk !== undefined; chunk = await this.next()) {
      this.bytes += chunk.data.length;
      yield chunk.data;
    }
  }
}
