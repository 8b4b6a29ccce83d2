/** `watch`: events as they happen, and a command run for each of them. With --interactive several watches, typed on standard input. */
import { CompactedError, errorText, type Watcher, type WatchUpdate } from '@quorate/client';
import { type Event, KvError, ResponseHeader, WatchResponse } from '@quorate/proto';
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
        await new Follower(session, { target, flags, command: words.command }).run();
        throw new ExitError(Exit.interrupted, 'watch is canceled by the server');
      });
    },
  });
}

/** How long a watch waits for a leader before it asks again. */
const leaderPauseMs = 500;

/** One watch and what is done with its events. */
interface Watched {
  readonly target: WatchTarget;
  readonly flags: WatchFlags;
  /** Run for every event; empty for none. */
  readonly command: readonly ByteString[];
}

/** Follows one watch until a member ends it for good. */
class Follower {
  readonly #session: Session;
  readonly #watched: Watched;
  /** Where to go on; 0 for "from now on" before anybody said what that means. */
  #nextRevision: number;
  #watcher: Watcher;
  #isCancelled = false;

  constructor(session: Session, watched: Watched) {
    this.#session = session;
    this.#watched = watched;
    this.#nextRevision = Math.max(watched.flags.rev, 0);
    this.#watcher = this.#start();
  }

  requestProgress(): void {
    this.#watcher.requestProgress();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#watcher.cancel();
  }

  /** Resolves when a member has ended the watch, or it was cancelled. Throws ExitError when a command fails. */
  async run(): Promise<void> {
    const { terminal } = this.#session;
    for (let isFirst = true; await this.#wantsLeader(); isFirst = false) {
      if (isFirst) terminal.err('Warning: no endpoint sees a leader; the watch goes on when one does\n');
      await terminal.pause(leaderPauseMs);
      if (this.#isCancelled) return;
      this.#watcher = this.#start();
    }
  }

  #start(): Watcher {
    const { target, flags } = this.#watched;
    return this.#session.client.watch(target.key, {
      ...target.range,
      startRevision: this.#nextRevision,
      prevKv: flags.prevKv,
      progressNotify: flags.progressNotify,
      createdNotify: true,
      // A member that is cut off from the others would be silent for ever.
      requireLeader: true,
    });
  }

  /** Shows what the watch gives to its end and says why it ended; true, and nothing said, when only a leader was missing. */
  async #wantsLeader(): Promise<boolean> {
    const { format, terminal } = this.#session;
    const show = format.show('watch');
    try {
      for await (const update of this.#watcher) await this.#show(update, show);
      return false;
    } catch (error) {
      if (error instanceof ExitError) throw error;
      if (error instanceof KvError && error.code === 'noLeader') return true;
      terminal.err(`watch was canceled (${fromText(errorText(error))})\n`);
      const { header, compactRevision } =
        error instanceof CompactedError ? error : { header: ResponseHeader.create(), compactRevision: 0 };
      show(WatchResponse.create({ header, compactRevision, canceled: true }));
      return false;
    }
  }

  async #show(update: WatchUpdate, show: (response: WatchResponse) => void): Promise<void> {
    const { header } = update;
    if (update.kind === 'created') {
      if (this.#nextRevision === 0) this.#nextRevision = header.revision + 1;
      return;
    }
    const { terminal } = this.#session;
    const events = update.kind === 'events' ? [...update.events] : [];
    if (update.kind === 'progress') terminal.out(`progress notify: ${header.revision}\n`);
    show(WatchResponse.create({ header, events }));
    this.#nextRevision = (events.at(-1)?.kv?.modRevision ?? header.revision) + 1;
    const { command } = this.#watched;
    if (command.length > 0) await runForEach(terminal, command, { header, events });
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
  readonly #followers: Follower[] = [];
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
      for (const follower of this.#followers) follower.cancel();
    }
  }

  async #line(line: ByteString): Promise<void> {
    const { terminal } = this.#session;
    const words = splitWords(line);
    const [name] = words;
    if (name === undefined) terminal.err(`Invalid command: ${line} (watch and progress supported)\n`);
    else if (name === 'progress') for (const follower of this.#followers) follower.requestProgress();
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
      const follower = new Follower(this.#session, { target: watchTarget(range, flags), flags, command });
      this.#followers.push(follower);
      follower.run().catch(this.#fail);
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
