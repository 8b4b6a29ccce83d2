/** How a connection begins (RFC 9113, 3.4): the client's preface, both sides' settings, and the windows of the connection. */
import type { ControlFrames } from './control.ts';
import { ErrorCode, prefaceText, Setting, windowDefault } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';
import type { H2Limits } from './limits.ts';
import type { Output } from './output.ts';

const preface = Buffer.from(prefaceText, 'latin1');

/** What a client says first; `output`, to which `control` writes, is empty. */
export function greetServer(output: Output, control: ControlFrames, limits: H2Limits): void {
  output.append(preface);
  control.settings([
    [Setting.enablePush, 0],
    [Setting.initialWindowSize, limits.streamWindowBytes],
    [Setting.maxHeaderListSize, limits.headerListBytesMax],
  ]);
  control.windowUpdate(0, limits.connectionWindowBytes - windowDefault);
}

/** What a server says first. */
export function greetClient(control: ControlFrames, limits: H2Limits, maxConcurrentStreams: number): void {
  control.settings([
    [Setting.maxConcurrentStreams, maxConcurrentStreams],
    [Setting.initialWindowSize, limits.streamWindowBytes],
    [Setting.maxHeaderListSize, limits.headerListBytesMax],
  ]);
  control.windowUpdate(0, limits.connectionWindowBytes - windowDefault);
}

/** Compares the first bytes a client sends with its preface. */
export class PrefaceReader {
  private seenBytes = 0;

  /** All of it came. */
  get isDone(): boolean {
    return this.seenBytes === preface.length;
  }

  /** Returns where the frames begin in `chunk`. Throws ConnectionError at the first byte that differs. */
  read(chunk: Buffer): number {
    const count = Math.min(preface.length - this.seenBytes, chunk.length);
    if (chunk.compare(preface, this.seenBytes, this.seenBytes + count, 0, count) !== 0) {
      throw new ConnectionError(ErrorCode.protocolError, 'not the preface of HTTP/2');
    }
    this.seenBytes += count;
    return count;
  }
}
