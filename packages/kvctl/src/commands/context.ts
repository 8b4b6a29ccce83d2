/** What every command has in common: how it is declared and what it is given when it runs. */
import { Command } from 'commander';
import type { Terminal } from '../io.ts';
import type { ByteString } from '../text/bytes.ts';

/** One run of one command. `Flags` are the command's own; the global ones are read by the session. */
export interface Invocation<Flags> {
  readonly args: readonly ByteString[];
  readonly flags: Flags;
  readonly command: Command;
  readonly terminal: Terminal;
}

interface Declaration<Flags> {
  readonly name: string;
  /** Arguments for the usage line: `<key> [range_end]`. */
  readonly usage: string;
  readonly summary: string;
  /** More for --help, below the flags. */
  readonly more?: string;
  readonly flags?: (command: Command) => void;
  readonly run: (invocation: Invocation<Flags>) => Promise<void> | void;
}

/** A command that does something. It checks its arguments itself, because what it says about them is etcdctl's wording. */
export function leafCommand<Flags>(terminal: Terminal, declaration: Declaration<Flags>): Command {
  const command = new Command(declaration.name)
    .summary(declaration.summary)
    .description(declaration.summary)
    .usage(`[flags] ${declaration.usage}`.trimEnd())
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments()
    .action(async (_flags: unknown, self: Command) => {
      await declaration.run({ args: self.args, flags: self.opts() as Flags, command: self, terminal });
    });
  declaration.flags?.(command);
  if (declaration.more !== undefined) command.addHelpText('after', `\n${declaration.more}`);
  return command;
}

/** A command that only holds others. */
export function groupCommand(name: string, summary: string, commands: readonly Command[]): Command {
  const group = new Command(name)
    .summary(summary)
    .description(summary)
    .usage('<command>')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false);
  for (const command of commands) group.addCommand(command);
  return group;
}
