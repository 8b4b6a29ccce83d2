/**
 * Flags that every command has, and their environment variables: `--dial-timeout` is `KVCTL_DIAL_TIMEOUT`. A flag and its
 * variable together are refused rather than ranked, as etcdctl does.
 */
import type { ClientOptions, TlsOptions } from '@quorate/client';
import type { Command, Option } from 'commander';
import { Exit, ExitError } from './exit.ts';
import { booleanFlag, booleanValue, durationFlag, listFlag, numberFlag, stringFlag } from './flags.ts';
import type { Terminal } from './io.ts';
import { formatNames } from './print/formats.ts';
import { type ByteString, fromText, toText } from './text/bytes.ts';
import { formatDuration } from './text/duration.ts';

/** Values of the global flags. */
export interface Globals {
  readonly endpoints: readonly ByteString[];
  readonly writeOut: ByteString;
  readonly hex: boolean;
  readonly debug: boolean;
  readonly dialTimeout: number;
  readonly commandTimeout: number;
  readonly keepaliveTime: number;
  readonly keepaliveTimeout: number;
  readonly maxRequestBytes: number;
  readonly maxRecvBytes: number;
  readonly insecureTransport: boolean;
  readonly insecureSkipTlsVerify: boolean;
  readonly cert: ByteString;
  readonly key: ByteString;
  readonly cacert: ByteString;
}

const prefix = 'KVCTL_';

/** Variables that are no flags: what `watch` reads its key from. */
const otherVariables: ReadonlySet<string> = new Set(['KVCTL_WATCH_KEY', 'KVCTL_WATCH_RANGE_END']);

/** Declares the global flags on the root command. */
export function addGlobalFlags(root: Command): void {
  const endpoints = ['127.0.0.1:2379'];
  listFlag(root, {
    name: 'endpoints',
    argument: 'list',
    value: endpoints,
    help: 'where the members listen, with commas',
  });
  stringFlag(root, {
    name: 'write-out',
    short: 'w',
    argument: 'format',
    value: 'simple',
    help: `output format (${formatNames})`,
  });
  booleanFlag(root, { name: 'hex', help: 'print bytes as hex' });
  durationFlag(root, { name: 'dial-timeout', valueMs: 2_000, help: 'time for one connection attempt' });
  durationFlag(root, { name: 'command-timeout', valueMs: 5_000, help: 'time for the whole command' });
  durationFlag(root, {
    name: 'keepalive-time',
    valueMs: 2_000,
    help: 'silence before a connection is probed, at least 10s',
  });
  durationFlag(root, { name: 'keepalive-timeout', valueMs: 6_000, help: 'time for the answer to a probe' });
  numberFlag(root, { name: 'max-request-bytes', argument: 'bytes', help: 'largest request sent (0: 2 MiB)' });
  numberFlag(root, { name: 'max-recv-bytes', argument: 'bytes', help: 'largest response accepted (0: 2 GiB)' });
  booleanFlag(root, {
    name: 'insecure-transport',
    value: true,
    help: 'no TLS unless certificates or https ask for it',
  });
  booleanFlag(root, { name: 'insecure-skip-tls-verify', help: 'accept any server certificate; only for tests' });
  stringFlag(root, { name: 'cert', argument: 'file', value: '', help: 'client certificate for TLS' });
  stringFlag(root, { name: 'key', argument: 'file', value: '', help: 'key of the client certificate' });
  stringFlag(root, {
    name: 'cacert',
    argument: 'file',
    value: '',
    help: "authorities to trust, instead of the system's",
  });
  booleanFlag(root, { name: 'debug', help: 'say on stderr what is going on' });
}

/**
 * The global flags of this run, after the environment has had its say. `command` is the one that runs; flags of its parents
 * count as global, its own do not.
 */
export function readGlobals(command: Command, terminal: Terminal): Globals {
  applyEnvironment(command, terminal);
  const globals = command.optsWithGlobals<Globals & Record<string, unknown>>();
  for (const name of ['cert', 'key', 'cacert'] as const) {
    const isGiven = command.getOptionValueSourceWithGlobals(name) !== 'default';
    if (isGiven && globals[name] === '')
      throw new ExitError(Exit.badArgs, `empty string is passed to --${name} option`);
  }
  if (globals.debug)
    terminal.err(
      inherited(command)
        .map((option) => debugLine(option, globals))
        .sort()
        .join(''),
    );
  return globals;
}

/** What the client is made of. Throws ExitError when a certificate cannot be read. */
export function clientOptions(globals: Globals, terminal: Terminal): ClientOptions {
  if (globals.endpoints.length === 0) throw new ExitError(Exit.badConnection, 'etcdclient: no available endpoints');
  const tls = tlsOptions(globals, terminal);
  return {
    endpoints: globals.endpoints.map(toText),
    dialTimeoutMs: globals.dialTimeout,
    keepaliveTimeMs: globals.keepaliveTime,
    keepaliveTimeoutMs: globals.keepaliveTimeout,
    clock: terminal.io.clock,
    ...(globals.maxRequestBytes > 0 ? { requestBytesMax: globals.maxRequestBytes } : {}),
    ...(globals.maxRecvBytes > 0 ? { responseBytesMax: globals.maxRecvBytes } : {}),
    ...(tls === undefined ? {} : { tls }),
    ...(terminal.io.transport === undefined ? {} : { transport: terminal.io.transport }),
  };
}

function tlsOptions(globals: Globals, terminal: Terminal): TlsOptions | undefined {
  const { cert, key, cacert, insecureTransport, insecureSkipTlsVerify } = globals;
  const files = { ca: cacert, cert, key };
  // Skipping verification asks for no TLS by itself: endpoints without a scheme stay plain.
  const skips = insecureSkipTlsVerify && globals.endpoints.some((endpoint) => /^(?:https|unixs):/.test(endpoint));
  if (Object.values(files).every((path) => path === '') && insecureTransport && !skips) return undefined;
  if ((cert === '') !== (key === '')) {
    throw new ExitError(Exit.badArgs, `KeyFile and CertFile must both be present[key: ${key}, cert: ${cert}]`);
  }
  const tls: { ca?: Buffer; cert?: Buffer; key?: Buffer; skipVerify: boolean } = { skipVerify: insecureSkipTlsVerify };
  for (const name of ['ca', 'cert', 'key'] as const) {
    if (files[name] !== '') tls[name] = readPem(files[name], terminal);
  }
  return tls;
}

function readPem(path: ByteString, terminal: Terminal): Buffer {
  try {
    return terminal.io.readFile(toText(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'no such file or directory' : message;
    throw new ExitError(Exit.badArgs, `open ${path}: ${fromText(reason)}`);
  }
}

function applyEnvironment(command: Command, terminal: Terminal): void {
  const owners = new Map<string, { owner: Command; option: Option }>();
  for (let owner = command.parent; owner !== null; owner = owner.parent) {
    for (const option of visible(owner)) owners.set(variableOf(option), { owner, option });
  }
  for (const [variable, value] of Object.entries(terminal.io.env).sort()) {
    if (!variable.startsWith(prefix) || value === undefined || otherVariables.has(variable)) continue;
    const known = owners.get(variable);
    if (known === undefined) {
      terminal.err(`Warning: unrecognized environment variable ${fromText(`${variable}=${value}`)}\n`);
      continue;
    }
    const { owner, option } = known;
    const name = option.attributeName();
    if (owner.getOptionValueSource(name) === 'cli') throw shadowed(variable);
    if (value !== '') owner.setOptionValueWithSource(name, fromEnvironment(option, variable, fromText(value)), 'env');
  }
}

function fromEnvironment(option: Option, variable: string, value: ByteString): unknown {
  try {
    if (!option.required) return booleanValue(option, value);
    return option.parseArg === undefined ? value : option.parseArg(value, option.defaultValue);
  } catch (error) {
    throw new ExitError(Exit.badArgs, `${variable}: ${(error as Error).message}`);
  }
}

function shadowed(variable: string): ExitError {
  return new ExitError(
    Exit.error,
    `conflicting environment variable "${variable}" is shadowed by corresponding command-line flag ` +
      '(either unset environment variable or disable flag)',
  );
}

function inherited(command: Command): Option[] {
  return command.parent === null ? [] : [...visible(command.parent), ...inherited(command.parent)];
}

function visible(command: Command): Option[] {
  return command.options.filter((option) => !option.negate);
}

function variableOf(option: Option): string {
  return prefix + option.long!.slice(2).replaceAll('-', '_').toUpperCase();
}

function debugLine(option: Option, globals: Readonly<Record<string, unknown>>): ByteString {
  const value = globals[option.attributeName()];
  const isDuration = option.flags.includes('<duration>');
  const text = Array.isArray(value)
    ? `[${value.join(',')}]`
    : isDuration
      ? formatDuration(value as number)
      : String(value);
  return `${variableOf(option)}=${text}\n`;
}
