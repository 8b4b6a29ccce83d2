/**
 * The daemon as a process: flags, log, signals, and the only place where a FatalError ends up.
 *
 *   0    asked for and done: --help, --version, a clean stop
 *   1    told something that cannot be: settings, ports, directories; a member that its cluster does not know any more
 *   2    flags written wrongly
 *   3    files on disk contradict themselves; nothing was changed
 *   137  killed by itself: a failed write or sync, a broken invariant (or by somebody else's SIGKILL)
 */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { FatalError, type Logger, StorageError } from '@quorate/base';
import { ListenError } from '@quorate/rpc';
import { armCrashPoints, CrashPointError, die, killSelf, leaveHeapRoom } from '@quorate/runtime';
import { etcdVersion, StartError } from '@quorate/server';
import { TlsError } from '@quorate/tls';
import { daemonConfigOf, logConfigOf } from './config.ts';
import { Daemon, type DaemonOptions } from './daemon.ts';
import { FlagError, type ParsedFlags, parseCommand } from './flags/parse.ts';
import { helpText, usageLine, versionText } from './flags/usage.ts';
import { ConfigError } from './initial-cluster.ts';
import { openLog } from './log.ts';

/** Runs what the command line asks for; the process ends by itself or by signal. */
export async function main(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
  // What the daemon writes is its owner's business.
  process.umask(0o077);
  // Node opens a debugger on this signal unless somebody else takes it.
  process.on('SIGUSR1', () => {});
  try {
    const command = parseCommand(args, environment);
    if (command.run === 'help') console.log(helpText());
    else if (command.run === 'version') process.stdout.write(versionText({ kvd: ownVersion(), etcd: etcdVersion }));
    else await runMember(command, environment);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    console.error(error.isUsage ? `${error.message}\n${usageLine}` : error.message);
    process.exit(error.isUsage ? 2 : 1);
  }
}

async function runMember(flags: ParsedFlags, environment: NodeJS.ProcessEnv): Promise<void> {
  leaveHeapRoom();
  const logger = openLog(logConfigOf(flags));
  let daemon: Daemon | undefined;
  const onFatal = (error: unknown): void => {
    daemon?.noteDamage(error);
    die(error, logger);
  };
  process.on('uncaughtException', onFatal);
  process.on('unhandledRejection', onFatal);
  for (const { level, message, facts } of flags.notes) logger[level](message, facts);
  logger.info('starting kvd', { version: ownVersion(), etcd: etcdVersion, node: process.version, pid: process.pid });
  const onExpelled = (error: Error): void => {
    logger.error('the member cannot go on', { error: error.message });
    void daemon?.stop().then(() => process.exit(1));
  };
  try {
    daemon = makeDaemon(flags, environment, { logger, onExpelled, onFatal });
    stopOnSignals(daemon, logger);
    await daemon.start();
  } catch (error) {
    if (!isStartProblem(error)) throw error;
    logger.error('failed to start', { error: error.message });
    await daemon?.stop();
    process.exit(1);
  }
}

function makeDaemon(
  flags: ParsedFlags,
  environment: NodeJS.ProcessEnv,
  options: Pick<DaemonOptions, 'logger' | 'onExpelled' | 'onFatal'>,
): Daemon {
  const config = daemonConfigOf(flags);
  const crash = armCrashPoints(environment['KVD_CRASH_AT']);
  return new Daemon(config, { ...options, crash, resolveHost });
}

/** Something the operator can put right without looking at the data. */
function isStartProblem(error: unknown): error is Error {
  if (error instanceof StorageError) return error.subject === 'data-dir';
  if (error instanceof FatalError) return false;
  const kinds = [ConfigError, CrashPointError, ListenError, StartError, TlsError];
  return kinds.some((kind) => error instanceof kind);
}

/** The first signal stops the daemon in good order, the second one ends it on the spot. */
function stopOnSignals(daemon: Daemon, logger: Logger): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (isStopping) {
      logger.warn('received another signal; ending at once', { signal });
      killSelf();
    }
    isStopping = true;
    logger.info('received signal; shutting down', { signal });
    void daemon.stop().then(() => process.exit(0));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

async function resolveHost(host: string): Promise<readonly string[]> {
  const addresses = await lookup(host, { all: true });
  return addresses.map(({ address }) => address);
}

function ownVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return (manifest as { readonly version: string }).version;
}
