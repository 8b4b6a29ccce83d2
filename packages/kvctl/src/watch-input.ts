/**
 * What `watch` is asked for: its arguments, the variables that can stand in for them, and after `--` a command to run for every
 * event. The same for a line typed in interactive mode.
 */
import type { KeyRange } from '@quorate/client';
import type { Command } from 'commander';
import { keepSeparator } from './dialect.ts';
import { Exit, ExitError } from './exit.ts';
import { booleanFlag, numberFlag } from './flags.ts';
import { type ByteString, fromText, toBytes } from './text/bytes.ts';
import { quote } from './text/quote.ts';

export interface WatchFlags {
  readonly interactive: boolean;
  readonly prefix: boolean;
  readonly rev: number;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
}

/** Key and end of the range from the environment; empty when not set. */
export interface WatchVariables {
  readonly key: ByteString;
  readonly rangeEnd: ByteString;
}

/** Arguments before and after `--`. */
export interface WatchWords {
  readonly range: readonly ByteString[];
  /** Empty: no command. */
  readonly command: readonly ByteString[];
}

/** One range to watch. */
export interface WatchTarget {
  readonly key: Buffer;
  readonly range: KeyRange;
}

/** On the command line and on every line of interactive mode. */
export function addWatchFlags(command: Command): void {
  booleanFlag(command, { name: 'interactive', short: 'i', help: 'read watches from standard input, one per line' });
  booleanFlag(command, { name: 'prefix', help: 'all keys that begin with <key>' });
  numberFlag(command, { name: 'rev', argument: 'revision', help: 'begin with the events of this revision (0: now)' });
  booleanFlag(command, { name: 'prev-kv', help: 'show what was there before each event' });
  booleanFlag(command, { name: 'progress-notify', help: 'show up to where the watch has come, from time to time' });
  keepSeparator(command);
}

/** `KVCTL_WATCH_KEY` and `KVCTL_WATCH_RANGE_END`. Throws ExitError. */
export function watchVariables(env: Readonly<Record<string, string | undefined>>): WatchVariables {
  const key = fromText(env['KVCTL_WATCH_KEY'] ?? '');
  const rangeEnd = fromText(env['KVCTL_WATCH_RANGE_END'] ?? '');
  if (key === '' && rangeEnd !== '') {
    throw badArgs(`KVCTL_WATCH_KEY is empty but got KVCTL_WATCH_RANGE_END=${quote(rangeEnd)}`);
  }
  return { key, rangeEnd };
}

/** Splits arguments at `--` and lets the variables take the place of the key. Throws ExitError. */
export function watchWords(args: readonly ByteString[], variables: WatchVariables): WatchWords {
  const separator = args.indexOf('--');
  const given = separator < 0 ? args : args.slice(0, separator);
  const command = separator < 0 ? [] : args.slice(separator + 1);
  if (separator >= 0 && command.length === 0) {
    throw badArgs('bad number of arguments (found separator --, but no commands)');
  }
  if (variables.key === '') return { range: given, command };
  if (given.length > 0) throw badArgs('bad number of arguments (found conflicting environment key)');
  return { range: variables.rangeEnd === '' ? [variables.key] : [variables.key, variables.rangeEnd], command };
}

/** With more than two arguments etcdctl watches the first of them, and so do we. Throws ExitError. */
export function watchTarget(words: readonly ByteString[], { prefix }: { readonly prefix: boolean }): WatchTarget {
  const [key, end] = words;
  if (key === undefined) throw badArgs('bad number of arguments');
  if (words.length !== 2) return { key: toBytes(key), range: { prefix } };
  if (prefix) throw badArgs('`range_end` and `--prefix` are mutually exclusive');
  return { key: toBytes(key), range: { end: toBytes(end!) } };
}

function badArgs(message: ByteString): ExitError {
  return new ExitError(Exit.badArgs, message);
}
