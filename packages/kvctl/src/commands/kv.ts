/**
 * `get`, `put` and `del`: their flags, the checks of their arguments, and the requests that come of them. The requests are
 * made by functions of their own because the lines of a transaction are the same commands.
 */
import type { DeleteOptions, GetOptions, PutOptions, SortOrder, SortTarget } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, numberFlag, stringFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { withSession } from '../session.ts';
import { type ByteString, toBytes } from '../text/bytes.ts';
import { parseInt64 } from '../text/numbers.ts';
import { quote } from '../text/quote.ts';
import { leafCommand } from './context.ts';

export interface GetFlags {
  readonly consistency: ByteString;
  readonly order: ByteString;
  readonly sortBy: ByteString;
  readonly limit: number;
  readonly prefix: boolean;
  readonly fromKey: boolean;
  readonly rev: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly printValueOnly: boolean;
  readonly minCreateRev: number;
  readonly maxCreateRev: number;
  readonly minModRev: number;
  readonly maxModRev: number;
}

export interface PutFlags {
  readonly lease: ByteString;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DelFlags {
  readonly prefix: boolean;
  readonly fromKey: boolean;
  readonly prevKv: boolean;
  readonly range: boolean;
}

/** Time to think before a range is deleted. */
const delPauseMs = 2_000;

export function getCommand(terminal: Terminal): Command {
  return leafCommand<GetFlags>(terminal, {
    name: 'get',
    usage: '<key> [range_end]',
    summary: 'Gets the key or a range of keys',
    flags: addGetFlags,
    more: 'Examples:\n  kvctl get hello\n  kvctl get --prefix services/ --keys-only\n  kvctl get hello --rev 7 -w json\n',
    run: async ({ args, flags, command }) => {
      const { key, options } = getRequest(args, flags);
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        if (flags.countOnly && format.name !== 'fields') {
          throw new ExitError(Exit.badArgs, '--count-only is only for `--write-out=fields`');
        }
        if (flags.printValueOnly && format.name !== 'simple') {
          throw new ExitError(Exit.badArgs, 'print-value-only is only for `--write-out=simple`');
        }
        const show = format.show('get');
        show(await client.kv.get(key, options, call), { valueOnly: flags.printValueOnly });
      });
    },
  });
}

export function putCommand(terminal: Terminal): Command {
  return leafCommand<PutFlags>(terminal, {
    name: 'put',
    usage: '<key> <value>',
    summary: 'Puts the given key into the store',
    flags: addPutFlags,
    more: `A value that is not given is read from standard input. What begins with '-' is taken for a flag unless '--' stands
before it.

Examples:
  kvctl put hello world
  kvctl put config < file
  kvctl put -- -key -value
`,
    run: async ({ args, flags, command }) => {
      const { key, value, options } = await putRequest(args, flags, () => terminal.readAll());
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('put');
        show(await client.kv.put(key, value, options, call));
      });
    },
  });
}

export function delCommand(terminal: Terminal): Command {
  return leafCommand<DelFlags>(terminal, {
    name: 'del',
    usage: '<key> [range_end]',
    summary: 'Removes the specified key or range of keys [key, range_end)',
    flags: addDelFlags,
    more: 'Examples:\n  kvctl del hello\n  kvctl del --prefix services/ --prev-kv\n  kvctl del a c --range\n',
    run: async ({ args, flags, command }) => {
      const { key, options } = delRequest(args, flags);
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('del');
        if (args.length > 1 && !flags.range) {
          terminal.err(
            `Warning: Keys between ${quote(args[0]!)} and ${quote(args[1]!)} will be deleted. Please interrupt the ` +
              'command within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.\n',
          );
          await terminal.pause(delPauseMs);
        }
        show(await client.kv.delete(key, options, call));
      });
    },
  });
}

export function addGetFlags(command: Command): void {
  stringFlag(command, {
    name: 'consistency',
    argument: 'l|s',
    value: 'l',
    help: 'linearizable (l) or serializable (s)',
  });
  const orders = 'ASCEND or DESCEND';
  stringFlag(command, {
    name: 'order',
    argument: 'order',
    value: '',
    help: `order of results: ${orders} (default: ASCEND)`,
  });
  const targets = 'CREATE, KEY, MODIFY, VALUE or VERSION';
  stringFlag(command, { name: 'sort-by', argument: 'target', value: '', help: `what to sort by: ${targets}` });
  numberFlag(command, { name: 'limit', argument: 'number', help: 'highest number of results (0: all)' });
  booleanFlag(command, { name: 'prefix', help: 'all keys that begin with <key>' });
  booleanFlag(command, { name: 'from-key', help: 'all keys at or after <key>, in order of bytes' });
  numberFlag(command, { name: 'rev', argument: 'revision', help: 'read as of this revision (0: now)' });
  booleanFlag(command, { name: 'keys-only', help: 'keys without values' });
  booleanFlag(command, { name: 'count-only', help: 'only the number of keys; needs -w fields' });
  booleanFlag(command, { name: 'print-value-only', help: 'values without keys; needs -w simple' });
  const revision = { argument: 'revision' };
  numberFlag(command, { name: 'min-create-rev', ...revision, help: 'only keys created at or after this revision' });
  numberFlag(command, { name: 'max-create-rev', ...revision, help: 'only keys created at or before this revision' });
  numberFlag(command, { name: 'min-mod-rev', ...revision, help: 'only keys modified at or after this revision' });
  numberFlag(command, { name: 'max-mod-rev', ...revision, help: 'only keys modified at or before this revision' });
}

export function addPutFlags(command: Command): void {
  stringFlag(command, { name: 'lease', argument: 'id', value: '0', help: 'lease to attach to the key, in hex' });
  booleanFlag(command, { name: 'prev-kv', help: 'show what was there before' });
  booleanFlag(command, { name: 'ignore-value', help: 'keep the value of the key' });
  booleanFlag(command, { name: 'ignore-lease', help: 'keep the lease of the key' });
}

export function addDelFlags(command: Command): void {
  booleanFlag(command, { name: 'prefix', help: 'all keys that begin with <key>' });
  booleanFlag(command, { name: 'from-key', help: 'all keys at or after <key>, in order of bytes' });
  booleanFlag(command, { name: 'prev-kv', help: 'show what was deleted' });
  booleanFlag(command, { name: 'range', help: 'delete [key, range_end) without a pause to think' });
}

/** Throws ExitError, as do the two below. */
export function getRequest(args: readonly ByteString[], flags: GetFlags): { key: Buffer; options: GetOptions } {
  if (args.length === 0) {
    throw badArgs('get command needs one argument as key and an optional argument as range_end');
  }
  checkRangeFlags(args, flags);
  if (flags.keysOnly && flags.countOnly) {
    throw badArgs('`--keys-only` and `--count-only` cannot be set at the same time, choose one');
  }
  if (flags.consistency !== 'l' && flags.consistency !== 's') {
    throw new ExitError(Exit.badFeature, `unknown consistency flag ${quote(flags.consistency)}`);
  }
  return {
    key: toBytes(args[0]!),
    options: {
      ...rangeOptions(args, flags),
      serializable: flags.consistency === 's',
      limit: flags.limit,
      revision: Math.max(flags.rev, 0),
      order: sortOrder(flags.order),
      sortBy: sortTarget(flags.sortBy),
      keysOnly: flags.keysOnly,
      countOnly: flags.countOnly,
      minCreateRevision: flags.minCreateRev,
      maxCreateRevision: flags.maxCreateRev,
      minModRevision: flags.minModRev,
      maxModRevision: flags.maxModRev,
    },
  };
}

/** `readValue` gives the value when the arguments do not; an empty one is none. */
export async function putRequest(
  args: readonly ByteString[],
  flags: PutFlags,
  readValue: () => Promise<ByteString>,
): Promise<{ key: Buffer; value: Buffer; options: PutOptions }> {
  const [key, given] = args;
  const needs = 'put command needs 1 argument and input from stdin or 2 arguments';
  if (key === undefined) throw badArgs(needs);
  if (flags.ignoreValue && given !== undefined) {
    throw badArgs("put command needs only 1 argument when 'ignore-value' is set");
  }
  const value = flags.ignoreValue ? '' : (given ?? (await readValue()));
  if (given === undefined && !flags.ignoreValue && value === '') throw badArgs(needs);
  const { prevKv, ignoreValue, ignoreLease } = flags;
  return {
    key: toBytes(key),
    value: toBytes(value),
    options: { lease: leaseId(flags.lease), prevKv, ignoreValue, ignoreLease },
  };
}

export function delRequest(args: readonly ByteString[], flags: DelFlags): { key: Buffer; options: DeleteOptions } {
  if (args.length === 0 || args.length > 2) {
    throw badArgs('del command needs one argument as key and an optional argument as range_end');
  }
  checkRangeFlags(args, flags);
  return { key: toBytes(args[0]!), options: { ...rangeOptions(args, flags), prevKv: flags.prevKv } };
}

function checkRangeFlags(
  args: readonly ByteString[],
  { prefix, fromKey }: { prefix: boolean; fromKey: boolean },
): void {
  if (prefix && fromKey) throw badArgs('`--prefix` and `--from-key` cannot be set at the same time, choose one');
  if (args.length > 1 && (prefix || fromKey)) {
    throw badArgs('too many arguments, only accept one argument when `--prefix` or `--from-key` is set');
  }
}

function rangeOptions(
  [, end]: readonly ByteString[],
  { prefix, fromKey }: { prefix: boolean; fromKey: boolean },
): { prefix: boolean; fromKey: boolean; end?: Buffer } {
  return end === undefined ? { prefix, fromKey } : { prefix, fromKey, end: toBytes(end) };
}

function sortOrder(text: ByteString): SortOrder {
  const orders: Readonly<Record<string, SortOrder>> = { '': 'NONE', ASCEND: 'ASCEND', DESCEND: 'DESCEND' };
  const order = orders[text.toUpperCase()];
  if (order === undefined) throw new ExitError(Exit.badFeature, `bad sort order ${text}`);
  return order;
}

function sortTarget(text: ByteString): SortTarget {
  const targets: Readonly<Record<string, SortTarget>> = {
    '': 'KEY',
    CREATE: 'CREATE',
    KEY: 'KEY',
    MODIFY: 'MOD',
    VALUE: 'VALUE',
    VERSION: 'VERSION',
  };
  const target = targets[text.toUpperCase()];
  if (target === undefined) throw new ExitError(Exit.badFeature, `bad sort target ${text}`);
  return target;
}

function leaseId(text: ByteString): bigint {
  try {
    return BigInt.asUintN(64, parseInt64(text, 16));
  } catch (error) {
    throw badArgs(`bad lease ID (${(error as Error).message}), expecting ID in Hex`);
  }
}

function badArgs(message: string): ExitError {
  return new ExitError(Exit.badArgs, message);
}
