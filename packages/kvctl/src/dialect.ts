/**
 * Reads a command line in the dialect of etcdctl (Go's cobra and pflag) and rewrites it for commander: sub-commands may be
 * shortened to a unique prefix, flags may stand anywhere, `--flag=value`, `-w=json`, `-wjson` and `--switch=false` work,
 * `--` ends the flags. Flags that do not exist are refused here, in pflag's words and from left to right.
 */
import type { Command, Option } from 'commander';
import { Exit, ExitError } from './exit.ts';
import { booleanValue } from './flags.ts';
import type { ByteString } from './text/bytes.ts';
import { quote } from './text/quote.ts';

const separating = new WeakSet<Command>();

/** From now on the first `--` stays among the arguments of this command: what follows it is a command line of its own. */
export function keepSeparator(command: Command): void {
  separating.add(command);
}

/** For commander's parse: the path of the command, its flags in one form, `--`, the arguments. */
export function toCommander(root: Command, args: readonly ByteString[]): string[] {
  const { path, rest } = findCommand(root, args);
  const command = path.at(-1)!;
  const names = path.slice(1).map((step) => step.name());
  const { flags, operands, help } = readFlags(path, rest);
  if (help) return [...names, '--help'];
  if (command.commands.length === 0) return [...names, ...flags, '--', ...operands];
  const unknown = operands[0];
  if (unknown === undefined) return [...names, '--help'];
  throw unknownCommand(command, names, unknown);
}

/** Where a command stands: root first. Words that are not part of its path stay in `rest`, in order. */
function findCommand(root: Command, args: readonly ByteString[]): { path: Command[]; rest: ByteString[] } {
  const path = [root];
  const rest: ByteString[] = [];
  let isHelp = false;
  for (let i = 0; i < args.length; i += 1) {
    const word = args[i]!;
    if (word === '--') return { path, rest: [...rest, ...args.slice(i)] };
    if (isFlag(word)) {
      rest.push(word);
      if (takesNextWord(path, word) && i + 1 < args.length) rest.push(args[++i]!);
      continue;
    }
    if (path.length === 1 && word === 'help' && !isHelp) {
      isHelp = true;
      rest.push('--help');
      continue;
    }
    const child = childByPrefix(path.at(-1)!, word);
    if (child === undefined) return { path, rest: [...rest, ...args.slice(i)] };
    path.push(child);
  }
  return { path, rest };
}

function childByPrefix(command: Command, word: ByteString): Command | undefined {
  const exact = command.commands.find((child) => child.name() === word);
  if (exact !== undefined || word === '') return exact;
  const matches = command.commands.filter((child) => child.name().startsWith(word));
  return matches.length === 1 ? matches[0] : undefined;
}

interface Flags {
  readonly flags: string[];
  readonly operands: ByteString[];
  readonly help: boolean;
}

function readFlags(path: readonly Command[], words: readonly ByteString[]): Flags {
  const result = { flags: [] as string[], operands: [] as ByteString[], help: false };
  const queue = [...words];
  const keepsSeparator = separating.has(path.at(-1)!);
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === '--') {
      result.operands.push(...(keepsSeparator ? [word] : []), ...queue);
      break;
    }
    if (!isFlag(word)) result.operands.push(word);
    else if (word.startsWith('--')) readLong(path, word, queue, result);
    else readShorts(path, word, queue, result);
    if (result.help) break;
  }
  return result;
}

function readLong(
  path: readonly Command[],
  word: ByteString,
  queue: ByteString[],
  result: { flags: string[]; help: boolean },
): void {
  const [, name, given] = /^--([^=]*)(?:=(.*))?$/s.exec(word)!;
  if (name === '' || name!.startsWith('-')) throw usageError(path, `bad flag syntax: ${word}`);
  const flag = findFlag(path, (option) => option.long === `--${name}`);
  if (flag === undefined) {
    if (name !== 'help') throw usageError(path, `unknown flag: --${name}`);
    result.help = true;
    return;
  }
  if (!flag.required) {
    pushSwitch(flag, given ?? 'true', result.flags);
    return;
  }
  const value = given ?? queue.shift();
  if (value === undefined) throw usageError(path, `flag needs an argument: --${name}`);
  result.flags.push(flag.long!, value);
}

/** `-abc`: switches first, the last may take a value: the rest of the word, what follows `=`, or the next word. */
function readShorts(
  path: readonly Command[],
  word: ByteString,
  queue: ByteString[],
  result: { flags: string[]; help: boolean },
): void {
  for (let i = 1; i < word.length; i += 1) {
    const letter = word[i]!;
    const flag = findFlag(path, (option) => option.short === `-${letter}`);
    if (flag === undefined) {
      if (letter !== 'h') throw usageError(path, `unknown shorthand flag: '${letter}' in -${word.slice(i)}`);
      result.help = true;
      return;
    }
    const rest = word.slice(i + 1);
    const given = rest.startsWith('=') ? rest.slice(1) : undefined;
    if (!flag.required) {
      pushSwitch(flag, given ?? 'true', result.flags);
      if (given !== undefined) return;
      continue;
    }
    const value = given ?? (rest === '' ? queue.shift() : rest);
    if (value === undefined) throw usageError(path, `flag needs an argument: '${letter}' in -${word.slice(i)}`);
    result.flags.push(flag.long!, value);
    return;
  }
}

function pushSwitch(flag: Option, value: ByteString, flags: string[]): void {
  flags.push(booleanValue(flag, value) ? flag.long! : `--no-${flag.long!.slice(2)}`);
}

function isFlag(word: ByteString): boolean {
  return word.length > 1 && word.startsWith('-');
}

function takesNextWord(path: readonly Command[], word: ByteString): boolean {
  if (word.includes('=')) return false;
  const flag = findFlag(path, (option) => option.long === word || option.short === word);
  return flag?.required === true;
}

function findFlag(path: readonly Command[], matches: (option: Option) => boolean): Option | undefined {
  for (const command of path.toReversed()) {
    const found = command.options.find((option) => !option.negate && matches(option));
    if (found !== undefined) return found;
  }
  return undefined;
}

function usageError(path: readonly Command[], message: ByteString): ExitError {
  return new ExitError(Exit.error, message, `Run '${path.map((step) => step.name()).join(' ')} --help' for usage.\n`);
}

function unknownCommand(command: Command, names: readonly string[], word: ByteString): ExitError {
  const parent = ['kvctl', ...names].join(' ');
  const similar = command.commands.map((child) => child.name()).filter((name) => isSimilar(word, name));
  const advice = similar.length === 0 ? '' : `\nDid you mean this?\n${similar.map((name) => `\t${name}\n`).join('')}\n`;
  const message = `unknown command ${quote(word)} for "${parent}"`;
  return new ExitError(Exit.error, message, `${advice}Run '${parent} --help' for usage.\n`);
}

function isSimilar(word: string, name: string): boolean {
  return name.startsWith(word.toLowerCase()) || editDistance(word.toLowerCase(), name) <= 2;
}

/** How many letters must be added, dropped or changed. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const change = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
