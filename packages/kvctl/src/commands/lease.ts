/** `lease grant`, `revoke`, `timetolive`, `list` and `keep-alive`. */
import { errorText, LeaseLostError } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { leaseHex } from '../print/simple.ts';
import { explain, type Session, withSession } from '../session.ts';
import { type ByteString, fromText } from '../text/bytes.ts';
import { clampToNumber, parseInt64 } from '../text/numbers.ts';
import { groupCommand, leafCommand } from './context.ts';

export function leaseCommand(terminal: Terminal): Command {
  return groupCommand('lease', 'Lease related commands', [
    grantCommand(terminal),
    revokeCommand(terminal),
    timeToLiveCommand(terminal),
    listCommand(terminal),
    keepAliveCommand(terminal),
  ]);
}

function grantCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'grant',
    usage: '<ttl>',
    summary: 'Creates leases',
    run: async ({ args, command }) => {
      if (args.length !== 1) throw new ExitError(Exit.badArgs, 'lease grant command needs TTL argument');
      const ttl = parseTtl(args[0]!);
      await withSession({ terminal, command }, async (session) => {
        const show = session.format.show('leaseGrant');
        const answer = session.client.lease.grant(ttl, {}, session.call);
        show(await orFail(session, answer, { code: Exit.error, doing: 'grant lease' }));
      });
    },
  });
}

function revokeCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'revoke',
    usage: '<leaseID>',
    summary: 'Revokes leases',
    run: async ({ args, command }) => {
      if (args.length !== 1) throw new ExitError(Exit.badArgs, 'lease revoke command needs 1 argument');
      const id = parseLeaseId(args[0]!);
      await withSession({ terminal, command }, async (session) => {
        const show = session.format.show('leaseRevoke');
        const answer = session.client.lease.revoke(id, session.call);
        show(await orFail(session, answer, { code: Exit.error, doing: 'revoke lease' }), { id });
      });
    },
  });
}

function timeToLiveCommand(terminal: Terminal): Command {
  return leafCommand<{ keys: boolean }>(terminal, {
    name: 'timetolive',
    usage: '<leaseID>',
    summary: 'Get lease information',
    flags: (command) => booleanFlag(command, { name: 'keys', help: 'show the keys attached to the lease' }),
    run: async ({ args, flags, command }) => {
      if (args.length !== 1) throw new ExitError(Exit.badArgs, 'lease timetolive command needs lease ID as argument');
      const id = parseLeaseId(args[0]!);
      await withSession({ terminal, command }, async (session) => {
        const show = session.format.show('leaseTimeToLive');
        const answer = session.client.lease.timeToLive(id, flags, session.call);
        show(await orFail(session, answer, { code: Exit.badConnection }), flags);
      });
    },
  });
}

function listCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'list',
    usage: '',
    summary: 'List all active leases',
    run: ({ command }) =>
      withSession({ terminal, command }, async (session) => {
        const show = session.format.show('leaseList');
        const answer = session.client.lease.list(session.call);
        show(await orFail(session, answer, { code: Exit.badConnection }));
      }),
  });
}

function keepAliveCommand(terminal: Terminal): Command {
  return leafCommand<{ once: boolean }>(terminal, {
    name: 'keep-alive',
    usage: '<leaseID>',
    summary: 'Keeps leases alive (renew)',
    flags: (command) => booleanFlag(command, { name: 'once', help: 'renew the lease once, and end' }),
    run: async ({ args, flags, command }) => {
      if (args.length !== 1) throw new ExitError(Exit.badArgs, 'lease keep-alive command needs lease ID as argument');
      const id = parseLeaseId(args[0]!);
      await withSession({ terminal, command }, async (session) => {
        if (!flags.once) {
          await keepAlive(session, id);
          return;
        }
        const show = session.format.show('leaseKeepAlive');
        show(await orFail(session, session.client.lease.keepAliveOnce(id, session.call), { code: Exit.badConnection }));
      });
    },
  });
}

/** Until the lease has ended, which is no failure of this command. */
async function keepAlive(session: Session, id: bigint): Promise<void> {
  const { client, format, terminal } = session;
  const show = format.show('leaseKeepAlive');
  try {
    for await (const response of client.lease.keepAlive(id)) show(response);
  } catch (error) {
    if (!(error instanceof LeaseLostError)) await orFail(session, Promise.reject(error), { code: Exit.badConnection });
  }
  if (format.name === 'simple') terminal.out(`lease ${leaseHex(id)} expired or revoked.\n`);
}

/** The answer, or the exit code that etcdctl has for this command's failures and, for some, what it says of them. */
async function orFail<T>(
  { terminal }: Session,
  answer: Promise<T>,
  { code, doing }: { code: number; doing?: string },
): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    explain(terminal, error);
    const reason = fromText(errorText(error));
    throw new ExitError(code, doing === undefined ? reason : `failed to ${doing} (${reason})`);
  }
}

function parseTtl(text: ByteString): number {
  try {
    return clampToNumber(parseInt64(text, 10));
  } catch (error) {
    throw new ExitError(Exit.badArgs, `bad TTL (${(error as Error).message})`);
  }
}

function parseLeaseId(text: ByteString): bigint {
  try {
    return BigInt.asUintN(64, parseInt64(text, 16));
  } catch (error) {
    throw new ExitError(Exit.badArgs, `bad lease ID arg (${(error as Error).message}), expecting ID in Hex`);
  }
}
