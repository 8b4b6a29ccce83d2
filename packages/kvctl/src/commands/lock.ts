/** `lock`: holds a lock until it is interrupted, or while a command runs. */
import { Mutex } from '@quorate/client';
import type { RangeResponse } from '@quorate/proto';
import type { Command } from 'commander';
import { childFailure } from '../child.ts';
import { Exit, ExitError } from '../exit.ts';
import { numberFlag } from '../flags.ts';
import { type Holding, hold, untilStopped } from '../hold.ts';
import type { Child, Terminal } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { type ByteString, fromBytes, toBytes, toText } from '../text/bytes.ts';
import { leafCommand } from './context.ts';

export function lockCommand(terminal: Terminal): Command {
  return leafCommand<{ ttl: number }>(terminal, {
    name: 'lock',
    usage: '<lockname> [exec-command arg1 arg2 ...]',
    summary: 'Acquires a named lock',
    flags: (command) =>
      numberFlag(command, {
        name: 'ttl',
        argument: 'seconds',
        value: 10,
        help: 'time until others get the lock after the death of this program',
      }),
    more: `Prints the key of the lock once it is held, and holds it until SIGINT or SIGTERM. With a command, holds the lock while the
command runs, passes SIGTERM on to it and ends with its exit code; ETCD_LOCK_KEY and ETCD_LOCK_REV tell it the key and a
revision at which the lock was held. Flags of the command go after '--'.

Examples:
  kvctl lock jobs/backup
  kvctl lock jobs/backup --ttl 5 -- sh -c 'make backup'
`,
    run: async ({ args, flags, command }) => {
      const [name, ...words] = args;
      if (name === undefined) {
        throw new ExitError(Exit.badArgs, 'lock takes a lock name argument and an optional command to execute');
      }
      await withSession({ terminal, command }, (session) => lock(session, { name, words, ttl: flags.ttl }));
    },
  });
}

interface Lock {
  readonly name: ByteString;
  /** The command to run; empty for none. */
  readonly words: readonly ByteString[];
  readonly ttl: number;
}

async function lock(session: Session, { name, words, ttl }: Lock): Promise<void> {
  const { client, call, format } = session;
  const show = format.show('get');
  let child: Child | undefined;
  const options = {
    ttl,
    lost: 'mutex: session is expired',
    // The terminal sends SIGINT to the command as well; SIGTERM comes to us alone.
    onInterrupt: (signal: 'SIGINT' | 'SIGTERM') => (signal === 'SIGTERM' ? child?.signal(signal) : undefined),
  };
  await hold(session, options, async (holding) => {
    const mutex = new Mutex(holding.lease, toBytes(name));
    await mutex.lock({ signal: holding.stop });
    const held = await client.kv.get(mutex.key, {}, call);
    if (held.kvs.length === 0) throw new ExitError(Exit.error, 'lock lost on init');
    if (words.length === 0) {
      show(held, { valueOnly: false });
      await untilStopped(holding, 'session expired');
      await mutex.unlock(call);
      return;
    }
    child = session.terminal.io.spawn(words.map(toText), lockVariables(mutex, held));
    await finish(session, { child, words, holding, unlock: () => mutex.unlock(call) });
  });
}

interface Running {
  readonly child: Child;
  readonly words: readonly ByteString[];
  readonly holding: Holding;
  readonly unlock: () => Promise<void>;
}

/** The lock stays until the command is gone: not even a signal gives it to somebody else while the command may still run. */
async function finish({ terminal }: Session, { child, words, holding, unlock }: Running): Promise<void> {
  const warn = (): void => terminal.err('Warning: the lock was lost while the command runs\n');
  holding.lease.done.addEventListener('abort', warn, { once: true });
  const failure = childFailure(words[0]!, await child.ended);
  holding.lease.done.removeEventListener('abort', warn);
  if (failure === undefined) {
    await unlock();
    return;
  }
  // What the command did matters more than whether the lock could be given back: the lease gives it back in any case.
  await unlock().catch(() => {});
  throw new ExitError(failure.code, failure.message);
}

function lockVariables({ key }: Mutex, { header }: RangeResponse): Record<string, string> {
  return { ETCD_LOCK_KEY: toText(fromBytes(key)), ETCD_LOCK_REV: String(header?.revision ?? 0) };
}
