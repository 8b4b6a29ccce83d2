/**
 * The server's end: takes accepted connections through the handshake and the rules for clients, and hands over those that passed.
 * Certificates, authorities and revocations are those of the files at the time of the connection.
 *
 *   socket ──► handshake (in time) ──► rules for the client's certificate ──► onSecure
 *                   └── refused: closed, and logged with the reason
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import type { Logger } from '@quorate/base';
import { clientRefusal } from './client-rules.ts';
import { contextOptionsOf } from './context-options.ts';
import { FromFiles } from './from-files.ts';
import { revokedSerials } from './revocation.ts';
import { checkTlsSettings, type TlsSettings, wantsClientCertificate } from './settings.ts';

export interface TlsAcceptorOptions {
  readonly settings: TlsSettings;
  readonly logger: Logger;
  readonly handshakeTimeoutMs: number;
  /** Called with every connection that is secure and let in. `alpnProtocol` is `h2`, `http/1.1`, or false. */
  readonly onSecure: (socket: TLSSocket) => void;
}

export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions;
  readonly #server: Server;
  readonly #contexts: FromFiles<SecureContextOptions>;
  readonly #revoked: FromFiles<ReadonlySet<string>>;
  /** Of the newest connection; replaced in the server when the files made another. */
  #context: SecureContextOptions;
  /** Connections on their way through handshake and rules, by where they come from. */
  readonly #underWay = new Map<string, Socket>();

  /** Throws TlsError when settings or files cannot work. */
  constructor(options: TlsAcceptorOptions) {
    this.#options = options;
    const { settings, handshakeTimeoutMs } = options;
    checkTlsSettings(settings);
    this.#contexts = new FromFiles({
      paths: [settings.certFile, settings.keyFile, settings.trustedCaFile],
      make: (contents) => acceptorOptions(settings, contents),
      onFailure: (error) => this.#keepsOld(error),
    });
    this.#revoked = new FromFiles({
      paths: [settings.crlFile],
      make: ([list]) => (list === undefined ? new Set<string>() : revokedSerials(list)),
      onFailure: (error) => this.#keepsOld(error),
    });
    this.#context = this.#contexts.current;
    this.#server = createServer({
      ...this.#context,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: handshakeTimeoutMs,
      requestCert: wantsClientCertificate(settings),
      rejectUnauthorized: true,
    });
    this.#server.on('secureConnection', (socket) => void this.#admit(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      const reason = refusalOf(error, socket);
      if (reason === undefined) socket.destroy();
      else this.#refuse(socket, reason);
    });
  }

  /** Takes a connection as it was accepted; nothing may have been read from it. */
  accept(socket: Socket): void {
    const context = this.#contexts.current;
    if (context !== this.#context) {
      this.#context = context;
      this.#server.setSecureContext(context);
    }
    const remote = remoteOf(socket);
    this.#underWay.set(remote, socket);
    socket.once('close', () => {
      if (this.#underWay.get(remote) === socket) this.#underWay.delete(remote);
    });
    this.#server.emit('connection', socket);
  }

  /** Ends the connections that were not handed over yet. */
  close(): void {
    for (const socket of [...this.#underWay.values()]) socket.destroy();
  }

  async #admit(socket: TLSSocket): Promise<void> {
    const { settings, onSecure } = this.#options;
    // A connection that was reset, or a client that wants another handshake, which Node reports and leaves open.
    socket.on('error', () => socket.destroy());
    // HTTP/2 forbids it (RFC 9113, 9.2.1), and Go's servers never have it.
    socket.disableRenegotiation();
    if (wantsClientCertificate(settings)) {
      const refusal = await clientRefusal(socket, settings, this.#revoked.current);
      if (socket.destroyed) return;
      if (refusal !== undefined) {
        this.#refuse(socket, refusal);
        return;
      }
    }
    // From here on the connection is somebody else's to close.
    this.#underWay.delete(remoteOf(socket));
    onSecure(socket);
  }

  #refuse(socket: TLSSocket, error: string): void {
    this.#options.logger.warn('rejected connection', { remote: remoteOf(socket), error });
    socket.destroy();
  }

  #keepsOld(error: Error): void {
    this.#options.logger.error('changed TLS files are not usable, those before stay in use', { error: error.message });
  }
}

function remoteOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

function acceptorOptions(settings: TlsSettings, contents: readonly (Buffer | undefined)[]): SecureContextOptions {
  const options: SecureContextOptions = {
    ...contextOptionsOf(settings, contents),
    // A resumed session would not show its certificate again: one revoked meanwhile would still get in.
    ...(wantsClientCertificate(settings) ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
  };
  // Throws when key and certificate do not belong together, while nothing depends on them yet.
  createSecureContext(options);
  return options;
}

/** Undefined for a client that went away: Node reports that, and often once more for a handshake that failed. */
function refusalOf(error: NodeJS.ErrnoException, socket: TLSSocket): string | undefined {
  // Node gives a refused certificate as a lost connection; the socket knows better.
  const reason: unknown = socket.authorizationError;
  if (reason !== undefined && reason !== null) return `client certificate refused: ${String(reason)}`;
  if (error.code === 'ECONNRESET') return undefined;
  // OpenSSL puts the reason between the names of its functions and files.
  return /:SSL routines:[^:]*:([^:\n]+)/.exec(error.message)?.[1] ?? error.message;
}
