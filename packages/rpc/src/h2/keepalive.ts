/**
 * Whether the other side is there, and whether it asks that too often of us.
 *
 * Each side pings a connection on which nothing was read for the interval, and closes it when nothing is read within the
 * time-out after that. Pings of the client are judged as etcd's Go server does: one that comes less than `minTimeMs` after the
 * one before is a strike, on a connection without calls less than two hours; frames sent for calls in between forgive all
 * strikes, since clients ping to measure the bandwidth of answers. The third strike ends the connection with "too_many_pings",
 * words that clients know (gRFC A8).
 */
import type { Timer } from '@quorate/base';
import type { ServeOptions } from '../transport.ts';
import { ErrorCode } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';

/** Pings on a connection without calls must be further apart than this. */
const idlePingMinTimeMs = 2 * 60 * 60 * 1000;
/** Strikes that are borne. */
const strikesMax = 2;

/** The clock, and how silent and impatient others are treated. */
export type KeepaliveSettings = Pick<ServeOptions, 'clock' | 'keepalive'>;

export interface KeepaliveHost {
  sendPing(): void;
  /** The client does not answer. */
  keepaliveFailed(): void;
}

export class Keepalive {
  private readonly options: KeepaliveSettings;
  private readonly host: KeepaliveHost;
  private timer: Timer | undefined = undefined;
  private lastReadMs: number;
  private strikes = 0;
  private lastPingMs = Number.NEGATIVE_INFINITY;
  private sentAtPing = 0;

  constructor(options: KeepaliveSettings, host: KeepaliveHost) {
    this.options = options;
    this.host = host;
    this.lastReadMs = options.clock.nowMs();
    if (options.keepalive.intervalMs > 0) this.sleepUntil(this.lastReadMs + options.keepalive.intervalMs);
  }

  /** Something was read. */
  onRead(nowMs: number): void {
    this.lastReadMs = nowMs;
  }

  /**
   * The client pings. `calls` are in progress, `callFramesSent` have been sent for calls on this connection so far. Throws
   * ConnectionError when it is a ping too many.
   */
  onPing(calls: number, callFramesSent: number): void {
    const now = this.options.clock.nowMs();
    const gapMs = now - this.lastPingMs;
    this.lastPingMs = now;
    if (callFramesSent !== this.sentAtPing) {
      this.sentAtPing = callFramesSent;
      this.strikes = 0;
      return;
    }
    if (gapMs >= (calls > 0 ? this.options.keepalive.minTimeMs : idlePingMinTimeMs)) return;
    this.strikes++;
    if (this.strikes > strikesMax) throw new ConnectionError(ErrorCode.enhanceYourCalm, 'too_many_pings');
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private sleepUntil(atMs: number): void {
    const { clock, keepalive } = this.options;
    this.timer = clock.after(Math.max(0, atMs - clock.nowMs()), () => {
      const idleUntilMs = this.lastReadMs + keepalive.intervalMs;
      if (clock.nowMs() < idleUntilMs) this.sleepUntil(idleUntilMs);
      else this.askAndWait();
    });
  }

  private askAndWait(): void {
    const { clock, keepalive } = this.options;
    const askedMs = clock.nowMs();
    this.host.sendPing();
    this.timer = clock.after(keepalive.timeoutMs, () => {
      if (this.lastReadMs < askedMs) this.host.keepaliveFailed();
      else this.sleepUntil(this.lastReadMs + keepalive.intervalMs);
    });
  }
}
