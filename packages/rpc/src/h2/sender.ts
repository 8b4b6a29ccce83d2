/**
 * The sending side of a connection: header blocks and messages of its streams become frames, held to the windows of the client
 * and to what the socket takes. What may leave at once does; what may not waits on its stream, and streams that wait for the
 * connection stand in line and are served in turn, a piece each, so that one huge answer does not hold up the small ones.
 */
import {
  Flag,
  FrameType,
  frameBytesDefault,
  frameHeaderBytes,
  windowDefault,
  windowLimit,
  writeFrameHeader,
  writeUint32,
} from './frames.ts';
import type { Output } from './output.ts';
import { answerDataAt, answerEnd, answerStart, messagePrefixBytes } from './responses.ts';
import type { Stream } from './stream.ts';

/** Bytes one stream sends before the next in line has its turn, give or take a frame. */
const quantumBytes = 64 * 1024;
/** A smaller piece of an answer is all that a window update was worth; see {@link Sender.usefulFramesSent}. */
const usefulBytesMin = 1_024;
/** Answers up to this size are copied into one piece with their headers. */
const smallAnswerBytesMax = 4 * 1024;

export class Sender {
  /** Bytes the client lets us send on the connection. */
  window: number = windowDefault;
  /** Window new streams begin with; from the client's SETTINGS. */
  streamWindow: number = windowDefault;
  /** Largest payload to send; from the client's SETTINGS. */
  frameBytesMax: number = frameBytesDefault;
  /** The socket has more than it can take; DATA has to wait. */
  congested = false;
  /** Bytes that wait on streams, and on how many streams. */
  queuedBytes = 0;
  queuedStreams = 0;
  /** Goes before the next header block: a change of the dynamic table's size, which the client asked for. */
  tableSizeUpdate: Buffer | undefined = undefined;
  /** Frames sent as part of calls. */
  callFramesSent = 0;
  /** Of those, the ones a client may send window updates for: not the crumbs of an answer that it has asked for as such. */
  usefulFramesSent = 0;
  private readonly output: Output;
  private readonly socketBytesMax: number;
  private readonly line: Stream[] = [];

  /** `socketBytesMax`: DATA waits while that much is on its way out. */
  constructor(output: Output, socketBytesMax: number) {
    this.output = output;
    this.socketBytesMax = socketBytesMax;
  }

  /**
   * A whole successful answer: headers, one message, trailers. False, and nothing sent, when it cannot leave at once in one
   * piece; it is then to be sent part by part.
   */
  answer(stream: Stream, message: Buffer): boolean {
    const length = message.length;
    const dataBytes = length + messagePrefixBytes;
    if (length > smallAnswerBytesMax || this.congested || this.tableSizeUpdate !== undefined) return false;
    if (dataBytes > this.window || dataBytes > stream.sendWindow) return false;
    let at = this.output.reserve(answerStart.length + length + answerEnd.length);
    const chunk = this.output.chunk;
    chunk.set(answerStart, at);
    writeUint32(chunk, at + 5, stream.id);
    writeFrameHeader(chunk, at + answerDataAt, dataBytes, FrameType.data, 0, stream.id);
    writePrefix(chunk, at + answerDataAt + frameHeaderBytes, length);
    at += answerStart.length;
    chunk.set(message, at);
    at += length;
    chunk.set(answerEnd, at);
    writeUint32(chunk, at + 5, stream.id);
    this.sent(stream, dataBytes);
    return true;
  }

  /** Sends a header block; with `endStream` nothing may follow on the stream. */
  headers(streamId: number, block: Buffer, endStream: boolean): void {
    let rest = block;
    if (this.tableSizeUpdate !== undefined) {
      rest = Buffer.concat([this.tableSizeUpdate, block]);
      this.tableSizeUpdate = undefined;
    }
    this.callFramesSent++;
    let type: number = FrameType.headers;
    let flags: number = endStream ? Flag.endStream : 0;
    do {
      const part = rest.subarray(0, this.frameBytesMax);
      rest = rest.subarray(part.length);
      this.frameHeader(part.length, type, rest.length === 0 ? flags | Flag.endHeaders : flags, streamId);
      this.output.append(part);
      type = FrameType.continuation;
      flags = 0;
    } while (rest.length > 0);
  }

  /** Sends a message, or what of it may leave now; the rest follows by itself. The stream's headers have been sent. */
  message(stream: Stream, message: Buffer): void {
    const bytes = messagePrefixBytes + message.length;
    const isFree = stream.queuedBytes === 0 && !this.congested && bytes <= this.frameBytesMax;
    if (isFree && bytes <= this.window && bytes <= stream.sendWindow) {
      const at = this.output.reserve(frameHeaderBytes + messagePrefixBytes);
      writeFrameHeader(this.output.chunk, at, bytes, FrameType.data, 0, stream.id);
      writePrefix(this.output.chunk, at + frameHeaderBytes, message.length);
      this.output.append(message);
      this.usefulFramesSent++;
      this.sent(stream, bytes);
      return;
    }
    this.messageInPieces(stream, [message], message.length);
  }

  /** The same of a message that lies in pieces, `sizeBytes` in all; they are referred to until they are sent. */
  messageInPieces(stream: Stream, pieces: readonly Buffer[], sizeBytes: number): void {
    const prefix = Buffer.allocUnsafe(messagePrefixBytes);
    writePrefix(prefix, 0, sizeBytes);
    if (stream.queuedBytes === 0) this.queuedStreams++;
    stream.queue ??= [];
    stream.queue.push(prefix);
    for (const piece of pieces) if (piece.length > 0) stream.queue.push(piece);
    stream.queuedBytes += messagePrefixBytes + sizeBytes;
    this.queuedBytes += messagePrefixBytes + sizeBytes;
    if (!stream.inLine) this.sendQueued(stream);
  }

  /** Ends the stream with `block` after everything it still has to send; an empty block means without trailers. */
  end(stream: Stream, block: Buffer): void {
    if (stream.queuedBytes > 0) {
      stream.lastBlock = block;
      return;
    }
    this.lastFrame(stream.id, block);
    stream.sendingEnded();
  }

  /** Drops what `stream` still has to send. */
  drop(stream: Stream): void {
    if (stream.queuedBytes === 0) return;
    this.queuedStreams--;
    this.queuedBytes -= stream.dropQueue();
  }

  /** Sends what `stream` has, its window having changed. */
  resume(stream: Stream): void {
    if (stream.queuedBytes > 0 && !stream.inLine) this.sendQueued(stream);
  }

  /** Serves the line as far as the connection's window and the socket allow. */
  resumeAll(): void {
    // Streams that are not done go to the end of the line, so this ends when nothing moves any more.
    while (this.line.length > 0 && this.window > 0 && !this.congested) {
      const stream = this.line.shift()!;
      stream.inLine = false;
      if (stream.queuedBytes > 0) this.sendQueued(stream);
    }
  }

  /** Whether streams stand in line. */
  get hasLine(): boolean {
    return this.line.length > 0;
  }

  /** Adds to the connection's window; false when that is more than a window may be. */
  addWindow(increment: number): boolean {
    this.window += increment;
    return this.window <= windowLimit;
  }

  private sendQueued(stream: Stream): void {
    let quantum = quantumBytes;
    while (stream.queuedBytes > 0 && stream.sendWindow > 0) {
      if (quantum <= 0 || this.window <= 0 || this.congested) {
        stream.inLine = true;
        this.line.push(stream);
        break;
      }
      const size = Math.min(stream.queuedBytes, stream.sendWindow, this.window, this.frameBytesMax);
      this.dataFrame(stream, size);
      quantum -= size;
    }
    if (stream.queuedBytes === 0 && stream.lastBlock !== undefined) {
      this.lastFrame(stream.id, stream.lastBlock);
      stream.lastBlock = undefined;
      stream.sendingEnded();
      return;
    }
    stream.sendingProgressed();
  }

  private lastFrame(streamId: number, block: Buffer): void {
    if (block.length > 0) this.headers(streamId, block, true);
    else this.frameHeader(0, FrameType.data, Flag.endStream, streamId);
  }

  private dataFrame(stream: Stream, size: number): void {
    this.frameHeader(size, FrameType.data, 0, stream.id);
    const queue = stream.queue!;
    let left = size;
    while (left > 0) {
      const first = queue[0]!;
      const from = stream.queueOffset;
      const count = Math.min(left, first.length - from);
      this.output.append(count === first.length ? first : first.subarray(from, from + count));
      left -= count;
      if (from + count === first.length) {
        queue.shift();
        stream.queueOffset = 0;
      } else {
        stream.queueOffset = from + count;
      }
    }
    stream.queuedBytes -= size;
    this.queuedBytes -= size;
    if (stream.queuedBytes === 0) this.queuedStreams--;
    if (stream.queuedBytes === 0 || size >= usefulBytesMin) this.usefulFramesSent++;
    this.sent(stream, size);
  }

  private sent(stream: Stream, dataBytes: number): void {
    stream.sendWindow -= dataBytes;
    this.window -= dataBytes;
    this.callFramesSent++;
    if (this.output.sizeBytes >= this.socketBytesMax) this.congested = true;
  }

  private frameHeader(length: number, type: number, flags: number, streamId: number): void {
    const at = this.output.reserve(frameHeaderBytes);
    writeFrameHeader(this.output.chunk, at, length, type, flags, streamId);
  }
}

function writePrefix(into: Buffer, at: number, messageBytes: number): void {
  into[at] = 0;
  writeUint32(into, at + 1, messageBytes);
}
