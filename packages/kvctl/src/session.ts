/** One command's dealings with the cluster: a client made from the global flags, the chosen format, and the end of both. */
import type { Facts, Logger } from '@quorate/base';
import { type CallOptions, Client, RpcError, type TlsOptions } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from './exit.ts';
import { clientOptions, type Globals, readGlobals } from './globals.ts';
import type { Terminal } from './io.ts';
import { Format } from './print/formats.ts';
import { fromText } from './text/bytes.ts';

export interface Session {
  readonly client: Client;
  readonly format: Format;
  /** What every call of the command gets. */
  readonly call: CallOptions;
  readonly terminal: Terminal;
  /** Undefined: without TLS, unless an endpoint asks for it. */
  readonly tls: TlsOptions | undefined;
  /** Another client, closed with the session; with flags of its own in place of the global ones. Throws ExitError. */
  readonly open: (instead?: Partial<Globals>) => Client;
}

/** Runs `body` with a client, and closes it and those that `body` opened. */
export async function withSession(
  { terminal, command }: { terminal: Terminal; command: Command },
  body: (session: Session) => Promise<void>,
): Promise<void> {
  const globals = readGlobals(command, terminal);
  const options = clientOptions(globals, terminal);
  const format = new Format(globals.writeOut, terminal, { hex: globals.hex });
  const logger = globals.debug ? { logger: debugLogger(terminal) } : {};
  const clients: Client[] = [];
  const open = (instead?: Partial<Globals>): Client => {
    const own = instead === undefined ? options : clientOptions({ ...globals, ...instead }, terminal);
    const client = connect({ ...own, ...logger });
    clients.push(client);
    return client;
  };
  const client = open();
  try {
    await body({ client, format, call: { timeoutMs: globals.commandTimeout }, terminal, tls: options.tls, open });
  } finally {
    for (const one of clients) one.close();
  }
}

/** The format of a command that asks no member. Throws ExitError. */
export function chosenFormat({ terminal, command }: { terminal: Terminal; command: Command }): Format {
  const globals = readGlobals(command, terminal);
  return new Format(globals.writeOut, terminal, { hex: globals.hex });
}

/** Says why nobody answered: "context deadline exceeded" alone would leave the user guessing. */
export function explain(terminal: Terminal, error: unknown): void {
  const cause = error instanceof RpcError ? error.cause : undefined;
  if (!(cause instanceof RpcError)) return;
  terminal.err(`Warning: endpoint ${fromText(cause.endpoint)}: ${fromText(cause.details)}\n`);
}

function connect(options: ConstructorParameters<typeof Client>[0]): Client {
  try {
    return new Client(options);
  } catch (error) {
    throw new ExitError(Exit.badConnection, fromText((error as Error).message));
  }
}

function debugLogger(terminal: Terminal, fixed: Facts = {}): Logger {
  const log = (message: string, facts: Facts = {}): void => {
    const parts = Object.entries({ ...fixed, ...facts }).map(([name, value]) => ` ${name}=${String(value)}`);
    terminal.err(fromText(`debug: ${message}${parts.join('')}\n`));
  };
  return {
    debug: log,
    info: log,
    warn: log,
    error: log,
    with: (facts) => debugLogger(terminal, { ...fixed, ...facts }),
  };
}
