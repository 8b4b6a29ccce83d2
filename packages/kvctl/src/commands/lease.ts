/** `lease grant`, `revoke`, `timetolive`, `list` and `keep-alive`. */
import { errorText } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
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
        const answer = session.client.rpc.lease.leaseGrant({ ttl }, session.call);
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
        const answer = session.client.rpc.lease.leaseRevoke({ id }, session.call);
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
        const answer = session.client.rpc.lease.leaseTimeToLive({ id, keys: flags.keys }, session.call);
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
        const answer = session.client.rpc.lease.leaseLeases({}, session.call);
        show(await orFail(session, answer, { code: Exit.badConnection }));
      }),
  });
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
