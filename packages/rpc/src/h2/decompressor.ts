/**
 * Decompresses messages, for all connections of a transport. It is done on the spot, since the thread pool belongs to the disk;
 * but only so much per turn, since a few kilobytes of request may cost milliseconds. Whoever comes too late in a turn waits for
 * the next.
 */
import { gunzipSync } from 'node:zlib';
import type { Clock } from '@quorate/base';
import { Status } from '@quorate/proto';
import { StatusError } from '../respond.ts';

/** Decompressed bytes after which a turn has done enough; about a millisecond's worth. */
const turnBytesMax = 512 * 1024;

export class Decompressor {
  private readonly clock: Clock;
  private readonly messageBytesMax: number;
  private turnBytes = 0;
  private waiting: (() => void)[] = [];

  /** `messageBytesMax`: no message may become larger than that. */
  constructor(clock: Clock, messageBytesMax: number) {
    this.clock = clock;
    this.messageBytesMax = messageBytesMax;
  }

  /** Whether this turn may decompress one more message. */
  get isFree(): boolean {
    return this.turnBytes < turnBytesMax;
  }

  /** Calls `fn` in a later turn, once {@link isFree}. */
  whenFree(fn: () => void): void {
    this.waiting.push(fn);
  }

  /** The content of a gzip message. Throws StatusError. */
  gunzip(message: Buffer): Buffer {
    if (this.turnBytes === 0) this.clock.soon(() => this.nextTurn());
    try {
      const content = gunzipSync(message, { maxOutputLength: Math.max(1, this.messageBytesMax) });
      this.turnBytes += content.length + message.length;
      return content;
    } catch (error) {
      this.turnBytes += this.messageBytesMax;
      throw statusOf(error, this.messageBytesMax);
    }
  }

  private nextTurn(): void {
    this.turnBytes = 0;
    const waiting = this.waiting;
    this.waiting = [];
    let served = 0;
    while (served < waiting.length && this.isFree) waiting[served++]?.();
    // Whoever could not be served yet goes before those who came meanwhile.
    this.waiting = [...waiting.slice(served), ...this.waiting];
  }
}

function statusOf(error: unknown, messageBytesMax: number): StatusError {
  if (error instanceof RangeError) {
    const text = `grpc: received message after decompression larger than max (${messageBytesMax})`;
    return new StatusError(Status.RESOURCE_EXHAUSTED, text, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  const text = `grpc: failed to decompress the received message: ${reason}`;
  return new StatusError(Status.INTERNAL, text, { cause: error });
}
