/** `defrag`: gives free space of stores back to the disk, of members that serve or of one that does not run. */
import { silentLogger } from '@quorate/base';
import { errorText } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, stringFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { explain, type Session, withSession } from '../session.ts';
import { type ByteString, fromText, toText } from '../text/bytes.ts';
import { formatDuration } from '../text/duration.ts';
import { leafCommand } from './context.ts';
import { endpointsOf } from './endpoint.ts';

interface DefragFlags {
  readonly cluster: boolean;
  readonly dataDir: ByteString;
}

/** Longer than copying the largest store takes. */
const patienceMs = 24 * 3_600_000;

export function defragCommand(terminal: Terminal): Command {
  return leafCommand<DefragFlags>(terminal, {
    name: 'defrag',
    usage: '',
    summary: 'Defragments the storage of the members with given endpoints',
    more: `The members serve meanwhile. Unless --command-timeout is given, the command waits as long as it takes. With --data-dir the store
of a member that does not run is defragmented, and no endpoint is asked.
`,
    flags: (command) => {
      booleanFlag(command, { name: 'cluster', help: 'use the endpoints from the member list' });
      stringFlag(command, {
        name: 'data-dir',
        argument: 'directory',
        value: '',
        help: 'the data directory of a member that does not run',
      });
    },
    run: ({ command, flags }) => {
      if (flags.dataDir !== '') return defragmentFiles(terminal, flags.dataDir);
      return withSession({ terminal, command }, (session) => defragmentMembers(session, command));
    },
  });
}

async function defragmentFiles(terminal: Terminal, dataDir: ByteString): Promise<void> {
  const { clock } = terminal.io;
  const startedMs = clock.nowMs();
  const { defragmentDataDir } = await import('@quorate/runtime');
  const { sizeBytesBefore, sizeBytes } = await defragmentDataDir({ dataDir: toText(dataDir), logger: silentLogger });
  const took = formatDuration(clock.nowMs() - startedMs);
  terminal.out(
    `Finished defragmenting directory[${dataDir}]. ${sizeBytesBefore} bytes before, ${sizeBytes} after. took ${took}\n`,
  );
}

/** One after the other; those that fail are named, and the others are defragmented all the same. */
async function defragmentMembers(session: Session, command: Command): Promise<void> {
  const { terminal, client } = session;
  const { clock } = terminal.io;
  const isLimited = command.getOptionValueSourceWithGlobals('commandTimeout') !== 'default';
  const call = isLimited ? session.call : { timeoutMs: patienceMs };
  let failures = 0;
  for (const endpoint of await endpointsOf(session, command)) {
    const startedMs = clock.nowMs();
    const took = (): ByteString => `took ${formatDuration(clock.nowMs() - startedMs)}`;
    const member = `etcd member[${fromText(endpoint)}]`;
    try {
      await client.maintenance.defragment(endpoint, call);
      terminal.out(`Finished defragmenting ${member}. ${took()}\n`);
    } catch (error) {
      failures++;
      explain(terminal, error);
      terminal.err(`Failed to defragment ${member}. ${took()}. (${fromText(errorText(error))})\n`);
    }
  }
  if (failures > 0) throw new ExitError(Exit.error, '');
}
