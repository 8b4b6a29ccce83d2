/**
 * `txn`: a transaction from standard input. Three blocks, each ended by an empty line: comparisons, requests if all are true,
 * requests if one is not. A request line is the command one would type: `put key "value"`, `get --prefix a`, `del a`.
 */
import { op } from '@quorate/client';
import type { Compare, RequestOp } from '@quorate/proto';
import { Command } from 'commander';
import { toCommander } from '../dialect.ts';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { withSession } from '../session.ts';
import { type ByteString, trimSpace } from '../text/bytes.ts';
import { parseCompare, splitWords } from '../txn-input.ts';
import { leafCommand } from './context.ts';
import {
  addDelFlags,
  addGetFlags,
  addPutFlags,
  type DelFlags,
  delRequest,
  type GetFlags,
  getRequest,
  type PutFlags,
  putRequest,
} from './kv.ts';

export function txnCommand(terminal: Terminal): Command {
  return leafCommand<{ interactive: boolean }>(terminal, {
    name: 'txn',
    usage: '',
    summary: 'Processes all the requests in one transaction',
    flags: (command) => booleanFlag(command, { name: 'interactive', short: 'i', help: 'ask for each part' }),
    more: `Reads three blocks from standard input, each ended by an empty line: comparisons, requests if all of them are
true, requests if one is false.

Comparisons: value, version (ver), create (c), mod (m) or lease, then =, !=, < or >.
Requests: get, put and del with their flags.

Example:
  kvctl txn <<EOF
  mod("key1") > "0"

  put key1 "overwrote-key1"

  put key1 "created-key1"
  put key2 'some extra key'

  EOF
`,
    run: async ({ args, flags, command }) => {
      if (args.length > 0) throw new ExitError(Exit.badArgs, 'txn command does not accept argument');
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('txn');
        const prompt = (text: string): void => (flags.interactive ? terminal.out(`${text}\n`) : undefined);
        prompt('compares:');
        const compare = await readBlock<Compare>(terminal, parseCompare);
        prompt('success requests (get, put, del):');
        const success = await readBlock(terminal, (line) => parseRequest(terminal, line));
        prompt('failure requests (get, put, del):');
        const failure = await readBlock(terminal, (line) => parseRequest(terminal, line));
        show(await client.kv.txn({ compare, success, failure }, call));
      });
    },
  });
}

/** Lines up to an empty one. */
async function readBlock<T>(terminal: Terminal, parse: (line: ByteString) => T | Promise<T>): Promise<T[]> {
  const items: T[] = [];
  for (;;) {
    const input = await terminal.readLine();
    if (input === undefined) throw new ExitError(Exit.invalidInput, 'EOF');
    const line = trimSpace(input);
    if (line === '') return items;
    items.push(await parse(line));
  }
}

/** One request line. What is wrong with its arguments is said in the words of the command itself. */
async function parseRequest(terminal: Terminal, line: ByteString): Promise<RequestOp> {
  const words = splitWords(line);
  if (words.length < 2) throw new ExitError(Exit.invalidInput, `invalid txn compare request: ${line}`);
  const parsed: RequestOp[] = [];
  const root = requestCommands(terminal, (request) => parsed.push(request));
  await root.parseAsync(commanderWords(root, words, line), { from: 'user' });
  return parsed[0]!;
}

function commanderWords(root: Command, words: readonly ByteString[], line: ByteString): string[] {
  const invalid = new ExitError(Exit.invalidInput, `invalid txn request: ${line}`);
  try {
    const rewritten = toCommander(root, words);
    if (!rewritten.includes('--help')) return rewritten;
  } catch {
    // Which flag or command it is stands in the line, which the error shows.
  }
  throw invalid;
}

function requestCommands(terminal: Terminal, add: (request: RequestOp) => void): Command {
  const declare = <Flags>(
    name: string,
    flags: (command: Command) => void,
    run: (args: readonly ByteString[], flags: Flags) => RequestOp | Promise<RequestOp>,
  ): Command =>
    leafCommand<Flags>(terminal, {
      name,
      usage: '',
      summary: name,
      flags,
      run: async (invocation) => add(await run(invocation.args, invocation.flags)),
    });
  return new Command('txn')
    .exitOverride()
    .addCommand(
      declare<GetFlags>('get', addGetFlags, (args, flags) => {
        const { key, options } = getRequest(args, flags);
        return op.get(key, options);
      }),
    )
    .addCommand(
      declare<PutFlags>('put', addPutFlags, async (args, flags) => {
        const { key, value, options } = await putRequest(args, flags, async () => '');
        return op.put(key, value, options);
      }),
    )
    .addCommand(
      declare<DelFlags>('del', addDelFlags, (args, flags) => {
        const { key, options } = delRequest(args, flags);
        return op.delete(key, options);
      }),
    );
}
