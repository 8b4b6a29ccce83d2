/**
 * Watches over one HTTP/2 connection as Go's gRPC server does for etcd: the handshake must finish in time, and clients may not
 * ping more often than they were told.
 *
 * A ping is a strike when it comes less than `minTimeMs` after the one before, or, on a connection without calls, less than two
 * hours after it. Whatever the server sends as part of a call forgives all strikes, since a client may ping to measure the
 * bandwidth of an answer; a large answer leaves in many frames long after the call wrote it. The third strike ends the connection with GOAWAY ENHANCE_YOUR_CALM and the words "too_many_pings",
 * which clients know (gRFC A8).
 */
import { constants, type ServerHttp2Session } from 'node:http2';
import type { Clock, Logger } from '@quorate/base';
import { commonNameOf } from '@quorate/tls';

/** Pings on a connection without calls must be further apart than this. */
const idlePingMinTimeMs = 2 * 60 * 60 * 1000;
/** Strikes that are borne. */
const strikesMax = 2;
/** Without calls the server sends no more than this between two pings: the answer to one, settings, window updates. */
const controlBytesMax = 64;

export interface SessionGuardOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly pingMinTimeMs: number;
  readonly handshakeTimeoutMs: number;
}

export class SessionGuard {
  /** Calls in progress on the connection. */
  activeCalls = 0;
  /** In the client's verified certificate. */
  readonly commonName: string | undefined;
  readonly #options: SessionGuardOptions;
  #strikes = 0;
  #lastPingMs = Number.NEGATIVE_INFINITY;
  #sentSincePing = false;
  #writtenAtPing = 0;

  constructor(session: ServerHttp2Session, options: SessionGuardOptions) {
    this.#options = options;
    this.commonName = commonNameOf(session.socket);
    const handshake = options.clock.after(options.handshakeTimeoutMs, () => {
      options.logger.warn('http2 handshake timed out', { peer: peerOf(session) });
      session.destroy();
    });
    session.once('remoteSettings', () => handshake.cancel());
    session.once('close', () => handshake.cancel());
    session.on('ping', () => this.#onPing(session));
  }

  /** A call sent headers, data or trailers. */
  sent(): void {
    this.#sentSincePing = true;
  }

  #onPing(session: ServerHttp2Session): void {
    const now = this.#options.clock.nowMs();
    const gapMs = now - this.#lastPingMs;
    this.#lastPingMs = now;
    const written = session.destroyed ? 0 : session.socket.bytesWritten;
    const sent = this.#sentSincePing || written - this.#writtenAtPing > controlBytesMax;
    this.#writtenAtPing = written;
    if (sent) {
      this.#sentSincePing = false;
      this.#strikes = 0;
      return;
    }
    const minMs = this.activeCalls > 0 ? this.#options.pingMinTimeMs : idlePingMinTimeMs;
    if (gapMs >= minMs) return;
    this.#strikes++;
    if (this.#strikes > strikesMax) this.#expel(session);
  }

  #expel(session: ServerHttp2Session): void {
    if (session.destroyed) return;
    this.#options.logger.warn('closing connection: too many pings', { peer: peerOf(session) });
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
    // The frame leaves at the end of this turn.
    this.#options.clock.soon(() => session.destroy());
  }
}

function peerOf(session: ServerHttp2Session): string {
  const socket = session.destroyed ? undefined : session.socket;
  return socket === undefined ? 'unknown' : `${socket.remoteAddress}:${socket.remotePort}`;
}
