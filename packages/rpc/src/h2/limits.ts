/**
 * What a connection may ask of the server. Every limit is far above what gRPC libraries do; who passes one is broken or hostile
 * and gets ENHANCE_YOUR_CALM. Each answers an attack that is known by name.
 */
import type { Clock } from '@quorate/base';
import { ErrorCode } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';

export interface H2Limits {
  /** SETTINGS_MAX_HEADER_LIST_SIZE; a larger request is answered 431. Go's default is 16 MiB; metadata here are tokens. */
  readonly headerListBytesMax: number;
  /** Encoded bytes of one header block: more than any list within the limit above needs. */
  readonly headerBlockBytesMax: number;
  /** CONTINUATION frames of one header block (CVE-2024-27316 and its kin). */
  readonly continuationsMax: number;
  /** SETTINGS_INITIAL_WINDOW_SIZE: what a client may send on one stream ahead of its handler. */
  readonly streamWindowBytes: number;
  /** Window of the connection; replenished as bytes arrive, whoever they are for. */
  readonly connectionWindowBytes: number;
  /** Bytes of unfinished and undelivered requests held for one connection; a stream that needs more fails. */
  readonly heldBytesMax: number;
  /**
   * With more unsent answer bytes than this on a connection, on more streams than the next limit, its new calls are refused
   * (CVE-2019-9517). A few huge answers that are merely under way are no reason to.
   */
  readonly queuedBytesMax: number;
  readonly queuedStreamsMax: number;
  /** Bytes given to a socket beyond which answers wait on their streams. */
  readonly socketBytesMax: number;
  /** With more than this in the socket, nothing more is read (CVE-2019-9512, -9515): the client must read first. */
  readonly socketBytesStop: number;
}

export const h2Limits: H2Limits = {
  headerListBytesMax: 64 * 1024,
  headerBlockBytesMax: 256 * 1024,
  continuationsMax: 64,
  streamWindowBytes: 4 * 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  heldBytesMax: 256 * 1024 * 1024,
  queuedBytesMax: 64 * 1024 * 1024,
  queuedStreamsMax: 16,
  socketBytesMax: 256 * 1024,
  socketBytesStop: 1024 * 1024,
};

/** How many cheap frames are forgiven; see {@link FloodGuard}. */
export interface FloodRule {
  readonly burst: number;
  readonly perSecond: number;
}

/** Streams the client resets (CVE-2023-44487). A client whose thousand calls all run into their deadline is none of them. */
export const resetFlood: FloodRule = { burst: 10_000, perSecond: 1_000 };
/** SETTINGS (CVE-2019-9515). */
export const settingsFlood: FloodRule = { burst: 100, perSecond: 10 };
/**
 * Frames that are answered by nothing and change little: empty DATA, PRIORITY, unknown types, WINDOW_UPDATE, frames for streams
 * that are gone (CVE-2019-9511, -9513, -9518). Requests and answers pay for some each, since windows are updated for them.
 */
export const idleFlood: FloodRule = { burst: 20_000, perSecond: 2_000 };

/** Cheap frames a useful one pays for. */
const paidByUseful = 8;

/** A bucket of tokens, filled by time and by useful work, that looks at neither until it is empty. */
export class FloodGuard {
  private readonly name: string;
  private readonly rule: FloodRule;
  private readonly clock: Clock;
  private readonly useful: () => number;
  private tokens: number;
  private filledAtMs: number;
  private usefulSeen = 0;

  /**
   * `name` is told to the client, as `too_many_<name>`. `useful` counts what a client may send such frames for; it never
   * falls.
   */
  constructor(name: string, rule: FloodRule, clock: Clock, useful: () => number = () => 0) {
    this.name = name;
    this.rule = rule;
    this.clock = clock;
    this.useful = useful;
    this.tokens = rule.burst;
    this.filledAtMs = clock.nowMs();
  }

  /** One frame more. Throws ConnectionError when it is one too many. */
  count(): void {
    if (this.tokens === 0) this.refill();
    this.tokens--;
  }

  private refill(): void {
    const now = this.clock.nowMs();
    const useful = this.useful();
    const byTime = Math.floor(((now - this.filledAtMs) * this.rule.perSecond) / 1000);
    const tokens = byTime + (useful - this.usefulSeen) * paidByUseful;
    if (tokens < 1) throw new ConnectionError(ErrorCode.enhanceYourCalm, `too_many_${this.name}`);
    this.tokens = Math.min(this.rule.burst, tokens);
    this.filledAtMs = now;
    this.usefulSeen = useful;
  }
}
