/** What a client says first: the preface, its settings, and the window of the connection (RFC 9113, 3.4). */
import type { ControlFrames } from '../control.ts';
import { prefaceText, Setting, windowDefault } from '../frames.ts';
import type { H2Limits } from '../limits.ts';
import type { Output } from '../output.ts';

const preface = Buffer.from(prefaceText, 'latin1');

/** Writes it to an empty `output`, the one that `control` writes to. */
export function greet(output: Output, control: ControlFrames, limits: H2Limits): void {
  output.append(preface);
  control.settings([
    [Setting.enablePush, 0],
    [Setting.initialWindowSize, limits.streamWindowBytes],
    [Setting.maxHeaderListSize, limits.headerListBytesMax],
  ]);
  control.windowUpdate(0, limits.connectionWindowBytes - windowDefault);
}
