/** The frames that are about the connection and not about a stream: SETTINGS, PING, GOAWAY. Servers and clients share them. */
import type { Clock, IdTable } from '@quorate/base';
import type { ControlFrames } from './control.ts';
import { ErrorCode, Flag } from './frames.ts';
import { ConnectionError, protocolError } from './h2-errors.ts';
import { FloodGuard, settingsFlood } from './limits.ts';
import { PeerSettings, settingBytes } from './peer-settings.ts';
import type { Sender } from './sender.ts';
import type { Stream } from './stream.ts';

/** The connection, as frames see it. */
export interface ConnectionHost {
  readonly options: { readonly clock: Clock };
  readonly sender: Sender;
  readonly streams: IdTable<Stream>;
  readonly control: ControlFrames;
  /** The other side's first SETTINGS are in force. */
  handshakeDone(): void;
  /** `payload`: the eight bytes of a ping of ours that came back, from `start` on. */
  pingAnswered(payload: Buffer, start: number): void;
}

/** Judges the pings of the other side; may throw ConnectionError. */
export interface PingJudge {
  onPing(calls: number, callFramesSent: number): void;
}

export class ConnectionFrames {
  /** The other side's first SETTINGS came; they must come before everything else. */
  hasSettings = false;
  /** What the other side set. */
  readonly settings: PeerSettings;
  private readonly host: ConnectionHost;
  private readonly settingsFrames: FloodGuard;
  private readonly idleFrames: FloodGuard;
  private readonly pings: PingJudge;

  /** `other`: whose frames these are. */
  constructor(host: ConnectionHost, idleFrames: FloodGuard, pings: PingJudge, other: 'client' | 'server') {
    this.host = host;
    this.idleFrames = idleFrames;
    this.pings = pings;
    this.settings = new PeerSettings(host.sender, () => host.streams.all(), other);
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
    const { control, streams, sender } = this.host;
    control.ping(bytes, start, Flag.ack);
    this.pings.onPing(streams.count, sender.callFramesSent);
  }

  /** Checks it; what it means is for the end that opened the streams to say. */
  onGoAway(streamId: number, length: number): void {
    if (streamId !== 0) throw protocolError('GOAWAY on a stream');
    if (length < 8) throw new ConnectionError(ErrorCode.frameSizeError, 'GOAWAY too short');
    this.idleFrames.count();
  }
}
