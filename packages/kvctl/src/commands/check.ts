/**
 * `check perf` and `check datascale`: a load of writes under a prefix of its own, a verdict, and no trace left. Loads, limits and
 * words are etcdctl's.
 */
import type { Client, TlsOptions } from '@quorate/client';
import { errorText, systemRandom } from '@quorate/client';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, stringFlag } from '../flags.ts';
import { untilInterrupted } from '../interrupt.ts';
import type { Terminal } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { type ByteString, fromText, toBytes } from '../text/bytes.ts';
import { quote } from '../text/quote.ts';
import { type LoadPlan, type LoadReport, runLoad } from '../write-load.ts';
import { groupCommand, leafCommand } from './context.ts';

interface CheckFlags {
  readonly load: ByteString;
  readonly prefix: ByteString;
  readonly autoCompact: boolean;
  readonly autoDefrag: boolean;
}

type Size = 's' | 'm' | 'l' | 'xl';

const sizes: Readonly<Record<string, Size>> = {
  s: 's',
  small: 's',
  m: 'm',
  medium: 'm',
  l: 'l',
  large: 'l',
  xl: 'xl',
  xLarge: 'xl',
};

const perfLoads = {
  s: { perSecond: 150, connections: 50 },
  m: { perSecond: 1_000, connections: 200 },
  l: { perSecond: 8_000, connections: 500 },
  xl: { perSecond: 15_000, connections: 1_000 },
} as const satisfies Record<Size, { perSecond: number; connections: number }>;

const scaleLoads = {
  s: { writes: 10_000, connections: 50 },
  m: { writes: 100_000, connections: 200 },
  l: { writes: 1_000_000, connections: 500 },
  xl: { writes: 3_000_000, connections: 1_000 },
} as const satisfies Record<Size, { writes: number; connections: number }>;

const perfSeconds = 60;
/** What `check perf` asks of a cluster: nine tenths of the writes, none slower than this, and a steady time. Seconds. */
const perfLimits = { share: 0.9, slowest: 0.5, stddev: 0.1 } as const;
/** For each write, and for what is done before and after the load. */
const patienceMs = 30_000;

export function checkCommand(terminal: Terminal): Command {
  return groupCommand('check', 'Commands for checking properties of the cluster', [
    perfCommand(terminal),
    datascaleCommand(terminal),
  ]);
}

function perfCommand(terminal: Terminal): Command {
  return leafCommand<CheckFlags>(terminal, {
    name: 'perf',
    usage: '',
    summary: 'Check the performance of the cluster',
    flags: (command) => addCheckFlags(command, '/etcdctl-check-perf/'),
    more: `Writes for ${perfSeconds} seconds: 150 times a second on 50 connections with --load s, 1000 on 200 with m, 8000 on 500 with l,
15000 on 1000 with xl. Passes when nine tenths of them were done, none took longer than 500 ms, and the standard deviation
of their times is at most 100 ms.
`,
    run: ({ flags, command }) => {
      const { perSecond, connections } = perfLoads[sizeOf(flags)];
      const durationMs = perfSeconds * 1_000;
      return withSession({ terminal, command }, async (session) => {
        await mustBeEmpty(session, flags);
        const load = { connections, plan: { perSecond, durationMs }, key: 256, value: 1_024 };
        const report = await writeAll(session, flags, load);
        await cleanUp(session, flags);
        judge(terminal, report, perSecond);
      });
    },
  });
}

function datascaleCommand(terminal: Terminal): Command {
  return leafCommand<CheckFlags>(terminal, {
    name: 'datascale',
    usage: '',
    summary: 'Check the memory usage of holding data for different workloads on a given server endpoint',
    flags: (command) => addCheckFlags(command, '/etcdctl-check-datascale/'),
    more: `Writes 10000 keys of 1 kB with --load s, 100000 with m, 1000000 with l, 3000000 with xl, and shows by how much the memory of
the member at the first endpoint has grown.
`,
    run: ({ flags, command }) => {
      const { writes, connections } = scaleLoads[sizeOf(flags)];
      return withSession({ terminal, command }, async (session) => {
        await mustBeEmpty(session, flags);
        const before = await residentBytes(session, 'before');
        terminal.out(
          `Start data scale check for work load [${writes} key-value pairs, 1024 bytes per key-value, ${connections} concurrent clients].\n`,
        );
        const report = await writeAll(session, flags, { connections, plan: { writes }, key: 512, value: 512 });
        const after = await residentBytes(session, 'after').catch(async (error: unknown) => {
          await cleanUp(session, flags);
          throw error;
        });
        await cleanUp(session, flags);
        if (showErrors(terminal, report)) throw new ExitError(Exit.error, '');
        const megabytes = (after - before) / (1024 * 1024);
        terminal.out(`PASS: Approximate system memory used : ${megabytes.toFixed(2)} MB.\n`);
      });
    },
  });
}

function addCheckFlags(command: Command, prefix: string): void {
  const help = 'workload: s (small), m (medium), l (large) or xl (xLarge)';
  stringFlag(command, { name: 'load', argument: 'size', value: 's', help });
  stringFlag(command, { name: 'prefix', argument: 'prefix', value: prefix, help: 'what the keys written begin with' });
  booleanFlag(command, { name: 'auto-compact', help: 'compact when the check is over' });
  booleanFlag(command, { name: 'auto-defrag', help: 'defragment every endpoint when the check is over' });
}

function sizeOf({ load }: CheckFlags): Size {
  const size = Object.hasOwn(sizes, load) ? sizes[load] : undefined;
  if (size === undefined) throw new ExitError(Exit.badFeature, `unknown load option ${load}`);
  return size;
}

async function mustBeEmpty({ client, call }: Session, { prefix }: CheckFlags): Promise<void> {
  const { kvs } = await client.kv.get(toBytes(prefix), { prefix: true, limit: 1 }, call);
  if (kvs.length === 0) return;
  const advice = `Delete with 'kvctl del --prefix ${prefix}' first`;
  throw new ExitError(Exit.invalidInput, `prefix ${quote(prefix)} has keys. ${advice}`);
}

interface CheckLoad {
  readonly connections: number;
  readonly plan: LoadPlan;
  /** Sizes in bytes, the prefix not counted. */
  readonly key: number;
  readonly value: number;
}

/** Stops early at SIGINT and SIGTERM, so that what was written can be deleted. */
function writeAll(
  session: Session,
  flags: CheckFlags,
  { connections, plan, key, value }: CheckLoad,
): Promise<LoadReport> {
  const { terminal } = session;
  const clients: Client[] = Array.from({ length: connections }, () => session.open());
  const prefix = toBytes(flags.prefix);
  const zeros = Buffer.alloc(value);
  const write = (connection: number): Promise<unknown> =>
    clients[connection]!.kv.put(randomKey(prefix, key), zeros, {}, { timeoutMs: patienceMs });
  return untilInterrupted(terminal, (signal) =>
    runLoad({ clock: terminal.io.clock, connections, plan, write, signal }, (error) => fromText(errorText(error))),
  );
}

/** A number by chance, then zeros, as etcdctl fills its keys. */
function randomKey(prefix: Buffer, size: number): Buffer {
  const key = Buffer.alloc(prefix.length + size);
  prefix.copy(key);
  key.writeUInt32BE(systemRandom.below(2 ** 32), prefix.length);
  key.writeUInt32BE(systemRandom.below(2 ** 32), prefix.length + 4);
  return key;
}

/** A cluster that cannot be cleaned up has still been checked: that is said, and the check goes on. */
async function cleanUp({ client, terminal }: Session, flags: CheckFlags): Promise<void> {
  const call = { timeoutMs: patienceMs };
  let revision: number;
  try {
    const { header } = await client.kv.delete(toBytes(flags.prefix), { prefix: true }, call);
    revision = header?.revision ?? 0;
  } catch (error) {
    terminal.out(`FAIL: Cleanup failed during key deletion: ERROR(${fromText(errorText(error))})\n`);
    return;
  }
  if (flags.autoCompact) {
    terminal.out(`Compacting with revision ${revision}\n`);
    await client.kv.compact(revision, { physical: true }, call);
    terminal.out(`Compacted with revision ${revision}\n`);
  }
  if (!flags.autoDefrag) return;
  for (const endpoint of client.endpoints) {
    const name = quote(fromText(endpoint));
    terminal.out(`Defragmenting ${name}\n`);
    await client.maintenance.defragment(endpoint, call);
    terminal.out(`Defragmented ${name}\n`);
  }
}

function judge(terminal: Terminal, report: LoadReport, perSecond: number): void {
  const { writesPerSecond, slowest, stddev } = report;
  const shown = Math.floor(writesPerSecond) + 1;
  const checks = [
    !showErrors(terminal, report),
    verdict(terminal, writesPerSecond / perSecond > perfLimits.share, {
      pass: `PASS: Throughput is ${shown} writes/s`,
      fail: `FAIL: Throughput too low: ${shown} writes/s`,
    }),
    verdict(terminal, slowest <= perfLimits.slowest, {
      pass: `PASS: Slowest request took ${slowest.toFixed(6)}s`,
      fail: `Slowest request took too long: ${slowest.toFixed(6)}s`,
    }),
    verdict(terminal, stddev <= perfLimits.stddev, {
      pass: `PASS: Stddev is ${stddev.toFixed(6)}s`,
      fail: `Stddev too high: ${stddev.toFixed(6)}s`,
    }),
  ];
  if (verdict(terminal, !checks.includes(false), { pass: 'PASS', fail: 'FAIL' })) return;
  throw new ExitError(Exit.error, '');
}

function verdict(terminal: Terminal, ok: boolean, { pass, fail }: { pass: string; fail: string }): boolean {
  terminal.out(`${ok ? pass : fail}\n`);
  return ok;
}

/** True when there were errors. */
function showErrors(terminal: Terminal, { errors }: LoadReport): boolean {
  if (errors.size === 0) return false;
  terminal.out('FAIL: too many errors\n');
  for (const [error, count] of errors) terminal.out(`FAIL: ERROR(${error}) -> ${count}\n`);
  return true;
}

/** What the member at the first endpoint says of its memory. Throws ExitError. */
async function residentBytes({ client, terminal, tls }: Session, when: 'before' | 'after'): Promise<number> {
  const endpoint = client.endpoints[0]!;
  const url = `${metricsUrl(endpoint, tls)}/metrics`;
  try {
    const text = await terminal.io.fetchText(url, tls);
    const found = /^process_resident_memory_bytes (\S+)$/m.exec(text);
    if (found !== null) return Number(found[1]);
    terminal.out('could not find: process_resident_memory_bytes\n');
  } catch (error) {
    terminal.out(`fetch error: ${fromText((error as Error).message)}\n`);
  }
  terminal.out(`FAIL: Could not read process_resident_memory_bytes ${when} the put operations.\n`);
  throw new ExitError(Exit.error, '');
}

function metricsUrl(endpoint: string, tls: TlsOptions | undefined): string {
  if (/^https?:/.test(endpoint)) return endpoint;
  return `${tls === undefined ? 'http' : 'https'}://${endpoint}`;
}
