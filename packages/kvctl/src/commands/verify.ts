/** `verify`: whether the files of a member that does not run are whole. kvctl's own; etcd has no such command. */
import { silentLogger } from '@quorate/base';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { stringFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { chosenFormat } from '../session.ts';
import { type ByteString, toText } from '../text/bytes.ts';
import { leafCommand } from './context.ts';

interface VerifyFlags {
  readonly dataDir: ByteString;
  readonly walDir: ByteString;
}

export function verifyCommand(terminal: Terminal): Command {
  return leafCommand<VerifyFlags>(terminal, {
    name: 'verify',
    usage: '--data-dir <directory>',
    summary: 'Checks the files of a member that does not run',
    flags: (command) => {
      const text = (name: string, help: string): void =>
        stringFlag(command, { name, argument: 'directory', value: '', help });
      text('data-dir', 'the data directory');
      text('wal-dir', 'where the write-ahead log is, if it is not in the data directory');
    },
    more: `Reads the log, the store and a state that is being received; changes nothing. Ends with code 1 when something is wrong, and
prints file, offset and key of it. What a crash leaves behind, such as a torn tail of the log, is nothing wrong.
`,
    run: async ({ args, flags, command }) => {
      if (args.length > 0) throw new ExitError(Exit.badArgs, 'verify command accepts no arguments');
      if (flags.dataDir === '') throw new ExitError(Exit.error, 'required flag(s) "data-dir" not set');
      const show = chosenFormat({ terminal, command }).show('verify');
      const { verifyDataDir } = await import('@quorate/runtime');
      const report = await verifyDataDir({
        dataDir: toText(flags.dataDir),
        walDir: flags.walDir === '' ? undefined : toText(flags.walDir),
        logger: silentLogger,
      });
      show(report);
      const { length } = report.problems;
      if (length > 0) {
        throw new ExitError(Exit.error, length === 1 ? 'there is a problem' : `there are ${length} problems`);
      }
    },
  });
}
