/** `defrag`: gives free space of the members' stores back to their disks, one member after the other. */
import { errorText } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { explain, withSession } from '../session.ts';
import { fromText } from '../text/bytes.ts';
import { formatDuration } from '../text/duration.ts';
import { leafCommand } from './context.ts';
import { endpointsOf } from './endpoint.ts';

export function defragCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'defrag',
    usage: '',
    summary: 'Defragments the storage of the members with given endpoints',
    more: 'The members serve meanwhile. Unless --command-timeout is given, the command waits as long as it takes.\n',
    flags: (command) => booleanFlag(command, { name: 'cluster', help: 'use the endpoints from the member list' }),
    run: ({ command }) =>
      withSession({ terminal, command }, async (session) => {
        const { clock } = terminal.io;
        const isLimited = command.getOptionValueSourceWithGlobals('commandTimeout') !== 'default';
        let failures = 0;
        for (const endpoint of await endpointsOf(session, command)) {
          const startedMs = clock.nowMs();
          const took = (): string => `took ${formatDuration(clock.nowMs() - startedMs)}`;
          const member = `etcd member[${fromText(endpoint)}]`;
          try {
            await session.client.maintenance.defragment(endpoint, isLimited ? session.call : { timeoutMs: patienceMs });
            terminal.out(`Finished defragmenting ${member}. ${took()}\n`);
          } catch (error) {
            failures++;
            explain(terminal, error);
            terminal.err(`Failed to defragment ${member}. ${took()}. (${fromText(errorText(error))})\n`);
          }
        }
        if (failures > 0) throw new ExitError(Exit.error, '');
      }),
  });
}

/** Longer than copying the largest store takes. */
const patienceMs = 24 * 3_600_000;
