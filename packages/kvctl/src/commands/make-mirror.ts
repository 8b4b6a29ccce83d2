/** `make-mirror`: copies keys to another cluster, and then every change as it happens. */
import type { Timer } from '@quorate/base';
import { Mirror, op, type WatchUpdate } from '@quorate/client';
import { EventEventType, type RequestOp } from '@quorate/proto';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, numberFlag, splitList, stringFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { MirrorWriter } from '../mirror-writer.ts';
import { type Session, withSession } from '../session.ts';
import { type ByteString, toBytes } from '../text/bytes.ts';
import { leafCommand } from './context.ts';

interface MirrorFlags {
  readonly prefix: ByteString;
  readonly rev: number;
  readonly maxTxnOps: number;
  readonly destPrefix: ByteString;
  readonly destCert: ByteString;
  readonly destKey: ByteString;
  readonly destCacert: ByteString;
  readonly destInsecureTransport: boolean;
}

/** How often the number of keys written is printed. */
const reportMs = 30_000;

export function makeMirrorCommand(terminal: Terminal): Command {
  return leafCommand<MirrorFlags & { noDestPrefix: boolean }>(terminal, {
    name: 'make-mirror',
    usage: '<destination>',
    summary: 'Makes a mirror at the destination cluster',
    flags: addMirrorFlags,
    more: `Copies all keys, then their changes, each revision in one transaction of the destination if it has at most --max-txn-ops
changes. Prints how many changes it has written every 30 seconds. Leases are not copied. Ends with an error when a write
may or may not have happened, when history it needs was compacted, or when it is refused: begin anew then.

Example:
  kvctl make-mirror --prefix services/ --dest-prefix backup/services/ 127.0.0.1:12379
`,
    run: async ({ args, flags, command }) => {
      const [destination] = args;
      if (destination === undefined || args.length !== 1) {
        throw new ExitError(Exit.badArgs, 'make-mirror takes one destination argument');
      }
      if (flags.noDestPrefix && flags.destPrefix !== '') {
        const choose = '`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one';
        throw new ExitError(Exit.badArgs, choose);
      }
      const prefix = flags.noDestPrefix ? '' : flags.destPrefix === '' ? flags.prefix : flags.destPrefix;
      await withSession({ terminal, command }, (session) => mirror(session, flags, { destination, prefix }));
    },
  });
}

function addMirrorFlags(command: Command): void {
  const revision = { argument: 'revision', help: 'only changes from this revision on (0: all keys first)' };
  const destination = { argument: 'file', value: '' };
  stringFlag(command, { name: 'prefix', argument: 'prefix', value: '', help: 'only keys that begin so' });
  numberFlag(command, { name: 'rev', ...revision });
  numberFlag(command, {
    name: 'max-txn-ops',
    argument: 'number',
    value: 128,
    help: 'highest number of changes in one transaction of the destination',
  });
  stringFlag(command, {
    name: 'dest-prefix',
    argument: 'prefix',
    value: '',
    help: 'what keys begin with there, in place of --prefix',
  });
  booleanFlag(command, { name: 'no-dest-prefix', help: 'leave --prefix out there, and put nothing in its place' });
  stringFlag(command, { name: 'dest-cert', ...destination, help: 'client certificate for TLS with the destination' });
  stringFlag(command, { name: 'dest-key', ...destination, help: 'key of the client certificate' });
  stringFlag(command, { name: 'dest-cacert', ...destination, help: 'authorities to trust for the destination' });
  booleanFlag(command, {
    name: 'dest-insecure-transport',
    value: true,
    help: 'no TLS with the destination unless certificates or https ask for it',
  });
}

interface Destination {
  /** Endpoints, with commas. */
  readonly destination: ByteString;
  /** In place of the prefix of the source. */
  readonly prefix: ByteString;
}

/** Never resolves: ends with an error. */
async function mirror(session: Session, flags: MirrorFlags, { destination, prefix }: Destination): Promise<void> {
  const { client, terminal } = session;
  const target = session.open({
    endpoints: splitList(destination),
    cert: flags.destCert,
    key: flags.destKey,
    cacert: flags.destCacert,
    insecureTransport: flags.destInsecureTransport,
  });
  const from = toBytes(flags.prefix);
  const to = toBytes(prefix);
  const there = (key: Buffer): Buffer => Buffer.concat([to, key.subarray(from.length)]);
  const writer = new MirrorWriter(target.kv, Math.max(flags.maxTxnOps, 1));
  const reports = new Reports(terminal, writer);
  const since = Math.max(flags.rev - 1, 0);
  const source = new Mirror(client, { prefix: from, revision: since });
  try {
    if (since === 0) {
      for await (const kvs of source.base()) await writer.write(kvs.map(({ key, value }) => op.put(there(key), value)));
    }
    for await (const update of source.updates()) {
      for (const ops of changesOf(update, there)) await writer.write(ops);
    }
  } finally {
    reports.stop();
  }
  throw new ExitError(Exit.error, 'the watch of the source ended');
}

/** The changes of each revision. */
function changesOf(update: WatchUpdate, there: (key: Buffer) => Buffer): RequestOp[][] {
  const byRevision = new Map<number, RequestOp[]>();
  for (const { type, kv } of update.kind === 'events' ? update.events : []) {
    if (kv === undefined) continue;
    const key = there(kv.key);
    const change = type === EventEventType.DELETE ? op.delete(key) : op.put(key, kv.value);
    const ops = byRevision.get(kv.modRevision);
    if (ops === undefined) byRevision.set(kv.modRevision, [change]);
    else ops.push(change);
  }
  return [...byRevision.values()];
}

/** Prints how many changes were written, from time to time. */
class Reports {
  readonly #terminal: Terminal;
  readonly #writer: MirrorWriter;
  #timer: Timer;

  constructor(terminal: Terminal, writer: MirrorWriter) {
    this.#terminal = terminal;
    this.#writer = writer;
    this.#timer = this.#next();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #next(): Timer {
    return this.#terminal.io.clock.after(reportMs, () => {
      this.#terminal.out(`${this.#writer.written}\n`);
      this.#timer = this.#next();
    });
  }
}
