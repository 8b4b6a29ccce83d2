/**
 * Between a connection's output and its socket: writes what a turn has gathered, and keeps the two from running away from each
 * other. While the socket holds much that the client has not read, answers wait on their streams; while it holds very much,
 * nothing more is read from that client either.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@quorate/base';
import type { H2Limits } from './limits.ts';
import type { Output } from './output.ts';
import type { Sender } from './sender.ts';

export interface WriterParts {
  readonly socket: Socket;
  readonly output: Output;
  readonly sender: Sender;
  readonly limits: H2Limits;
  readonly clock: Clock;
  /** Has the connection write again, streams having gone on. */
  readonly flush: () => void;
}

export class SocketWriter {
  private readonly parts: WriterParts;
  private readingStopped = false;
  private resumeScheduled = false;
  private closed = false;

  constructor(parts: WriterParts) {
    this.parts = parts;
    parts.socket.on('drain', () => this.onDrain());
  }

  /** Writes what has been gathered; whether there was anything. */
  write(): boolean {
    const { socket, output, sender, limits } = this.parts;
    if (this.closed) return false;
    const hadOutput = output.sizeBytes > 0;
    output.flush(socket);
    const pendingBytes = socket.writableLength;
    sender.congested = pendingBytes > limits.socketBytesMax;
    if (pendingBytes > limits.socketBytesStop && !this.readingStopped) {
      this.readingStopped = true;
      socket.pause();
    }
    if (sender.hasLine && !sender.congested && sender.window > 0) this.resumeSoon();
    return hadOutput;
  }

  /** Writes what has been gathered and then the end; nothing is written after that. */
  end(): void {
    if (this.closed) return;
    this.write();
    this.close();
    this.parts.socket.end();
    // Reads on, so that the client's end is seen.
    this.parts.socket.resume();
  }

  /** Drops what was not written. */
  close(): void {
    this.closed = true;
    this.parts.output.clear();
  }

  private onDrain(): void {
    const { socket, sender } = this.parts;
    sender.congested = false;
    if (this.readingStopped) {
      this.readingStopped = false;
      socket.resume();
    }
    if (sender.hasLine) this.resumeSoon();
  }

  /**
   * Goes on with answers that had to wait, on another turn: a socket that takes everything at once must not keep the rest of
   * the process waiting for the length of a large answer.
   */
  private resumeSoon(): void {
    if (this.resumeScheduled) return;
    this.resumeScheduled = true;
    this.parts.clock.soon(() => {
      this.resumeScheduled = false;
      if (this.closed) return;
      this.parts.sender.resumeAll();
      this.parts.flush();
    });
  }
}
