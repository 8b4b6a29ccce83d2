/** `watch`: events as they happen, and a command run for each of them. With --interactive several watches, typed on standard input. */
import { CompactedError, errorText, type Watcher } from '@quorate/client';
import { type Event, ResponseHeader, WatchResponse } from '@quorate/proto';
import { Command } from 'commander';
import { childFailure } from '../child.ts';
import { toCommander } from '../dialect.ts';
import { Exit, ExitError } from '../exit.ts';
import type { Terminal } from '../io.ts';
import { eventName } from '../print/event-name.ts';
import { type Session, withSession } from '../session.ts';
import { type ByteString, fromBytes, fromText, toText } from '../text/bytes.ts';
import { quote } from '../text/quote.ts';
import { splitWords } from '../txn-input.ts';
import {
  addWatchFlags,
  type WatchFlags,
  type WatchTarget,
  type WatchVariables,
  watchTarget,
  watchVariables,
  watchWords,
} from '../watch-input.ts';
import { leafCommand } from './context.ts';

export function watchCommand(terminal: Terminal): Command {
  return leafCommand<WatchFlags>(terminal, {
    name: 'watch',
    usage: '[key] [range_end] [-- command args...]',
    summary: 'Watches events stream on keys or prefixes',
    flags: addWatchFlags,
    more: `Prints events until it is interrupted. Goes on at another endpoint when a member is lost, without missing or repeating
events. The command after '--' is run for every event, one after the other, with the variables ETCD_WATCH_REVISION,
ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE; all but the first are quoted. KVCTL_WATCH_KEY and
KVCTL_WATCH_RANGE_END stand for key and range_end.

With --interactive each line is 'watch' with flags and arguments as here, or 'progress'.

Examples:
  kvctl watch foo
  kvctl watch --prefix services/ --rev 7 --prev-kv
  kvctl watch foo -- sh -c 'echo $ETCD_WATCH_KEY changed'
`,
    run: async ({ args, flags, command }) => {
      const variables = watchVariables(terminal.io.env);
      if (flags.interactive) {
        await withSession({ terminal, command }, (session) => new Interactive(session, variables).run());
        return;
      }
      const words = watchWords(args, variables);
      const target = watchTarget(words.range, flags);
      await withSession({ terminal, command }, async (session) => {
        await follow(session, startWatch(session, target, flags), words.command);
        throw new ExitError(Exit.interrupted, 'watch is canceled by the server');
      });
    },
  });
}

function startWatch({ client }: Session, { key, range }: WatchTarget, flags: WatchFlags): Watcher {
  return client.watch(key, {
    ...range,
    startRevision: Math.max(flags.rev, 0),
    prevKv: flags.prevKv,
    progressNotify: flags.progressNotify,
    requireLeader: true,
  });
}

/** Shows what a watch gives until a member ends it, and says why it did. Throws ExitError when a command fails. */
async function follow(session: Session, watcher: Watcher, command: readonly ByteString[]): Promise<void> {
  const { format, terminal } = session;
  const show = format.show('watch');
  try {
    for await (const update of watcher) {
      if (update.kind === 'created') continue;
      if (update.kind === 'progress') terminal.out(`progress notify: ${update.header.revision}\n`);
      const events = update.kind === 'events' ? [...update.events] : [];
      show(WatchResponse.create({ header: update.header, events }));
      if (command.length > 0) await runForEach(terminal, command, { header: update.header, events });
    }
  } catch (error) {
    if (error instanceof ExitError) throw error;
    terminal.err(`watch was canceled (${fromText(errorText(error))})\n`);
    const { header, compactRevision } =
      error instanceof CompactedError ? error : { header: ResponseHeader.create(), compactRevision: 0 };
    show(WatchResponse.create({ header, compactRevision, canceled: true }));
  }
}

/** One run of the command per event, in their order. */
async function runForEach(
  terminal: Terminal,
  command: readonly ByteString[],
  { header, events }: { header: ResponseHeader; events: readonly Event[] },
): Promise<void> {
  for (const event of events) {
    const env = {
      ETCD_WATCH_REVISION: String(header.revision),
      ETCD_WATCH_EVENT_TYPE: quote(eventName(event.type)),
      ETCD_WATCH_KEY: toText(quote(fromBytes(event.kv?.key ?? Buffer.alloc(0)))),
      ETCD_WATCH_VALUE: toText(quote(fromBytes(event.kv?.value ?? Buffer.alloc(0)))),
    };
    const end = await terminal.io.spawn(command.map(toText), env).ended;
    const failure = childFailure(command[0]!, end);
    if (failure === undefined) continue;
    terminal.err(`command [${command.map(quote).join(' ')}] error (${failure.message})\n`);
    throw new ExitError(Exit.error, '');
  }
}

/** Lines of --interactive: each watch goes on beside the others until the input ends. */
class Interactive {
  readonly #session: Session;
  readonly #variables: WatchVariables;
  readonly #watchers: Watcher[] = [];
  readonly #failed: Promise<never>;
  #fail!: (error: unknown) => void;

  constructor(session: Session, variables: WatchVariables) {
    this.#session = session;
    this.#variables = variables;
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
  }

  /** Never resolves: ends with the input, a line that is wrong, or a command that fails. Throws ExitError. */
  async run(): Promise<void> {
    const { terminal, format } = this.#session;
    format.show('watch');
    try {
      for (;;) {
        const input = await Promise.race([terminal.readLine(), this.#failed]);
        if (input === undefined) throw new ExitError(Exit.invalidInput, 'error reading watch request line: EOF');
        await this.#line(input.slice(0, -1));
      }
    } finally {
      for (const watcher of this.#watchers) watcher.cancel();
    }
  }

  async #line(line: ByteString): Promise<void> {
    const { terminal } = this.#session;
    const words = splitWords(line);
    const [name] = words;
    if (name === undefined) terminal.err(`Invalid command: ${line} (watch and progress supported)\n`);
    else if (name === 'progress') for (const watcher of this.#watchers) watcher.requestProgress();
    else if (name !== 'watch') terminal.err(`Invalid command ${line} (only support watch)\n`);
    else if (words.length < 2 && this.#variables.key === '') {
      terminal.err(`Invalid command ${line} (command type or key is not provided)\n`);
    } else await this.#watch(line, words);
  }

  async #watch(line: ByteString, words: readonly ByteString[]): Promise<void> {
    const { args, flags } = await parseLine(this.#session.terminal, words);
    const { range, command } = watchWords(args, this.#variables);
    if (range.length === 0 && command.length === 0) throw new ExitError(Exit.badArgs, 'bad number of arguments');
    try {
      const watcher = startWatch(this.#session, watchTarget(range, flags), flags);
      this.#watchers.push(watcher);
      follow(this.#session, watcher, command).catch(this.#fail);
    } catch (error) {
      if (!(error instanceof ExitError)) throw error;
      this.#session.terminal.err(`Invalid command ${line} (${error.message})\n`);
    }
  }
}

interface WatchLine {
  readonly args: readonly ByteString[];
  readonly flags: WatchFlags;
}

async function parseLine(terminal: Terminal, words: readonly ByteString[]): Promise<WatchLine> {
  const lines: WatchLine[] = [];
  const watch = leafCommand<WatchFlags>(terminal, {
    name: 'watch',
    usage: '',
    summary: 'watch',
    flags: addWatchFlags,
    run: ({ args, flags }) => {
      lines.push({ args, flags });
    },
  });
  const root = new Command('kvctl').exitOverride().addCommand(watch);
  try {
    const rewritten = toCommander(root, words);
    if (rewritten.includes('--help')) throw new ExitError(Exit.badArgs, 'pflag: help requested');
    await root.parseAsync(rewritten, { from: 'user' });
  } catch (error) {
    // Where to find help, which such an error tells on a command line, is of no use here.
    throw error instanceof ExitError ? new ExitError(Exit.badArgs, error.message) : error;
  }
  return lines[0]!;
}
