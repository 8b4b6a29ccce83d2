/** One run of kvctl, without a process: arguments and streams in, exit code out. */
import { errorText } from '@quorate/client';
import { Command, CommanderError } from 'commander';
import { alarmCommand } from './commands/alarm.ts';
import { checkCommand } from './commands/check.ts';
import { compactionCommand } from './commands/compaction.ts';
import { completionCommand } from './commands/completion.ts';
import { defragCommand } from './commands/defrag.ts';
import { downgradeCommand } from './commands/downgrade.ts';
import { electCommand } from './commands/elect.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { delCommand, getCommand, putCommand } from './commands/kv.ts';
import { leaseCommand } from './commands/lease.ts';
import { lockCommand } from './commands/lock.ts';
import { makeMirrorCommand } from './commands/make-mirror.ts';
import { memberCommand } from './commands/member.ts';
import { moveLeaderCommand } from './commands/move-leader.ts';
import { snapshotCommand } from './commands/snapshot.ts';
import { txnCommand } from './commands/txn.ts';
import { verifyCommand } from './commands/verify.ts';
import { versionCommand } from './commands/version.ts';
import { watchCommand } from './commands/watch.ts';
import { toCommander } from './dialect.ts';
import { Exit, ExitError } from './exit.ts';
import { addGlobalFlags } from './globals.ts';
import { type Io, Terminal } from './io.ts';
import { explain } from './session.ts';
import { type ByteString, fromText } from './text/bytes.ts';

/** Runs the command line (without the program's name, one character per byte) and returns the exit code. */
export async function run(args: readonly ByteString[], io: Io): Promise<number> {
  const terminal = new Terminal(io);
  try {
    const program = buildProgram(terminal);
    await program.parseAsync(toCommander(program, args), { from: 'user' });
    return Exit.success;
  } catch (error) {
    return report(terminal, error);
  }
}

function buildProgram(terminal: Terminal): Command {
  const program = new Command('kvctl')
    .description('Command line for quorate and etcd')
    .usage('[flags] <command>')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show help for a command')
    .allowExcessArguments()
    .exitOverride()
    .addHelpText('after', '\nA flag can also be given as a variable: KVCTL_ENDPOINTS for --endpoints, and so on.\n');
  styleHelp(program, terminal);
  addGlobalFlags(program);
  const commands = [
    getCommand(terminal),
    putCommand(terminal),
    delCommand(terminal),
    txnCommand(terminal),
    watchCommand(terminal),
    compactionCommand(terminal),
    defragCommand(terminal),
    leaseCommand(terminal),
    alarmCommand(terminal),
    endpointCommand(terminal),
    memberCommand(terminal),
    lockCommand(terminal),
    electCommand(terminal),
    checkCommand(terminal),
    makeMirrorCommand(terminal),
    moveLeaderCommand(terminal),
    downgradeCommand(terminal),
    snapshotCommand(terminal),
    verifyCommand(terminal),
    completionCommand(terminal),
    versionCommand(terminal),
  ];
  for (const command of commands) inherit(program.addCommand(command), command);
  return program;
}

function styleHelp(program: Command, terminal: Terminal): void {
  program
    .configureHelp({
      showGlobalOptions: true,
      styleTitle: (title) => title.replace('Options:', 'Flags:'),
      subcommandTerm: (command) => command.name(),
      subcommandDescription: (command) => {
        const children = command.commands.map((child) => child.name()).join(', ');
        const summary = command.summary() || command.description();
        return children === '' ? summary : `${summary}: ${children}`;
      },
      optionDescription: ({ description, defaultValueDescription: shown }) =>
        shown === undefined ? description : `${description} (default: ${shown})`,
    })
    .configureOutput({
      writeOut: (text) => terminal.out(fromText(text)),
      writeErr: (text) => terminal.err(fromText(text)),
      getOutHelpWidth: () => terminal.io.columns,
    });
}

/** Commands made elsewhere do not take over their parent's settings by themselves. */
function inherit(parent: Command, command: Command): void {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) inherit(command, child);
}

function report(terminal: Terminal, error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode;
  if (error instanceof ExitError) {
    // An empty message means that everything was said on the way.
    terminal.err(error.message === '' ? '' : `Error: ${error.message}\n${error.hint}`);
    return error.code;
  }
  explain(terminal, error);
  terminal.err(`Error: ${fromText(errorText(error))}\n`);
  return Exit.error;
}
