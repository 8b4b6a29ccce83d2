/** The frames of a client that are about the connection and not about a stream: SETTINGS, PING, GOAWAY. */
import type { ControlFrames } from './control.ts';
import { ErrorCode, Flag } from './frames.ts';
import { ConnectionError, protocolError } from './h2-errors.ts';
import type { Keepalive } from './keepalive.ts';
import { FloodGuard, settingsFlood } from './limits.ts';
import { PeerSettings, settingBytes } from './peer-settings.ts';
import type { OpenerHost } from './request-opener.ts';

/** The connection, as frames see it. */
export interface FrameHost extends OpenerHost {
  readonly closed: boolean;
  readonly control: ControlFrames;
  readonly keepalive: Keepalive;
  /** The client's first SETTINGS are in force. */
  handshakeDone(): void;
  /** `payload`: the eight bytes of a ping of ours that came back, from `start` on. */
  pingAnswered(payload: Buffer, start: number): void;
}

export class ConnectionFrames {
  /** The client's first SETTINGS came; they must come before everything else. */
  hasSettings = false;
  private readonly host: FrameHost;
  private readonly settings: PeerSettings;
  private readonly settingsFrames: FloodGuard;
  private readonly idleFrames: FloodGuard;

  constructor(host: FrameHost, idleFrames: FloodGuard) {
    this.host = host;
    this.idleFrames = idleFrames;
    this.settings = new PeerSettings(host.sender, () => host.streams.all());
    this.settingsFrames = new FloodGuard('settings', settingsFlood, host.options.clock);
  }

  onSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('SETTINGS on a stream');
    const length = end - start;
    if ((flags & Flag.ack) !== 0) {
      if (!this.hasSettings) throw protocolError('the first frame is an acknowledgement');
      if (length !== 0) throw new ConnectionError(ErrorCode.frameSizeError, 'acknowledgement with content');
      this.idleFrames.count();
      return;
    }
    if (length % settingBytes !== 0) throw new ConnectionError(ErrorCode.frameSizeError, 'SETTINGS of wrong length');
    this.settingsFrames.count();
    this.settings.apply(bytes, start, end);
    this.host.control.settingsAck();
    this.settings.resumeStreams();
    if (this.hasSettings) return;
    this.hasSettings = true;
    this.host.handshakeDone();
  }

  onPing(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError('PING on a stream');
    if (end - start !== 8) throw new ConnectionError(ErrorCode.frameSizeError, 'PING of wrong length');
    if ((flags & Flag.ack) !== 0) {
      this.idleFrames.count();
      this.host.pingAnswered(bytes, start);
      return;
    }
    const { keepalive, control, streams, sender } = this.host;
    control.ping(bytes, start, Flag.ack);
    keepalive.onPing(streams.count, sender.callFramesSent);
  }

  onGoAway(streamId: number, length: number): void {
    if (streamId !== 0) throw protocolError('GOAWAY on a stream');
    if (length < 8) throw new ConnectionError(ErrorCode.frameSizeError, 'GOAWAY too short');
    // It speaks of streams the server opened, of which there are none. The client closes the connection when it is done.
    this.idleFrames.count();
  }
}
