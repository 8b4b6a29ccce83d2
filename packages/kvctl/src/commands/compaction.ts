/** `compaction`: forget history. */
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { withSession } from '../session.ts';
import type { ByteString } from '../text/bytes.ts';
import { clampToNumber, parseInt64 } from '../text/numbers.ts';
import { leafCommand } from './context.ts';

export function compactionCommand(terminal: Terminal): Command {
  return leafCommand<{ physical: boolean }>(terminal, {
    name: 'compaction',
    usage: '<revision>',
    summary: 'Compacts the event history up to a revision',
    flags: (command) =>
      booleanFlag(command, { name: 'physical', help: 'wait until the old revisions are removed from the disk' }),
    run: async ({ args, flags, command }) => {
      if (args.length !== 1) throw new ExitError(Exit.badArgs, 'compaction command needs 1 argument');
      const revision = parseRevision(args[0]!);
      await withSession({ terminal, command }, async ({ client, call }) => {
        await client.kv.compact(clampToNumber(revision), { physical: flags.physical }, call);
        terminal.out(`compacted revision ${revision}\n`);
      });
    },
  });
}

function parseRevision(text: ByteString): bigint {
  try {
    return parseInt64(text, 10);
  } catch (error) {
    throw new ExitError(Exit.error, (error as Error).message);
  }
}
