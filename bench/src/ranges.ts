/**
 * What a range of very many keys does to a member: how late its event loop is while the whole is read, sorted, streamed, or counted
 * at an old revision.
 *
 *   npm run bench:ranges -- [--keys 1000000] [--value-bytes 64]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Client } from '@quorate/client';
import { PutRequest, RangeRequest, RangeRequestSortTarget, RequestOp, services } from '@quorate/proto';
import type { LoopReport } from './loop-probe.ts';

const { values } = parseArgs({
  options: { keys: { type: 'string', default: '1000000' }, 'value-bytes': { type: 'string', default: '64' } },
});
const keyCount = Number(values.keys);
const valueBytes = Number(values['value-bytes']);

const here = dirname(fileURLToPath(import.meta.url));
const program = join(here, '..', '..', '..', 'packages', 'kvd', 'bin', 'kvd.js');
const endpoint = '127.0.0.1:25790';
const all = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) } as const;

function startKvd(directory: string): ChildProcess {
  const peer = 'http://127.0.0.1:25791';
  const flags = [
    ...['--data-dir', directory, '--log-level', 'error', '--quota-backend-bytes', String(8 * 1024 ** 3)],
    ...['--listen-client-urls', `http://${endpoint}`, '--advertise-client-urls', `http://${endpoint}`],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
  ];
  const probe = join(here, 'loop-probe.js');
  return spawn(process.execPath, ['--import', probe, program, ...flags], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

async function report(kvd: ChildProcess): Promise<LoopReport> {
  kvd.send('report');
  return (await once(kvd, 'message'))[0] as LoopReport;
}

/** Transactions of 100 puts, 16 at a time. */
async function fill(client: Client): Promise<void> {
  const perTxn = 100;
  let next = 0;
  const filler = async (): Promise<void> => {
    while (next < keyCount) {
      const from = next;
      next += perTxn;
      const success = Array.from({ length: Math.min(perTxn, keyCount - from) }, (_, i) => {
        const key = Buffer.from(`key/${String(from + i).padStart(28, '0')}`);
        return RequestOp.create({
          requestPut: PutRequest.create({ key, value: Buffer.alloc(valueBytes, (from + i) & 255) }),
        });
      });
      await client.unary(services.kv.methods.txn, { success });
    }
  };
  await Promise.all(Array.from({ length: 16 }, filler));
}

async function streamAll(client: Client): Promise<void> {
  for await (const message of client.serverStream(services.kv.methods.rangeStream, RangeRequest.create(all))) {
    if (message.rangeResponse === undefined) throw new Error('an empty message');
  }
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-ranges-'));
  const kvd = startKvd(directory);
  const client = new Client({ endpoints: [endpoint] });
  const range = (more: Partial<RangeRequest>): Promise<unknown> =>
    client.unary(services.kv.methods.range, RangeRequest.create({ ...all, ...more }));
  try {
    const startedMs = performance.now();
    await fill(client);
    process.stderr.write(`${keyCount} keys in ${Math.round(performance.now() - startedMs)} ms\n`);
    const old = Math.floor(keyCount / 200);
    const cases: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['nothing', () => new Promise((resolve) => setTimeout(resolve, 2_000))],
      ['all', () => range({})],
      ['all, sorted by value', () => range({ sortTarget: RangeRequestSortTarget.VALUE })],
      [
        '10 of all, sorted by mod revision',
        () => range({ sortTarget: RangeRequestSortTarget.MOD, sortOrder: 2, limit: 10 }),
      ],
      ['counted at an old revision', () => range({ revision: old, countOnly: true })],
      ['all, streamed', () => streamAll(client)],
    ];
    process.stdout.write('| range | takes | event loop p99 | max | resident |\n| --- | --- | --- | --- | --- |\n');
    for (const [name, run] of cases) {
      await report(kvd);
      const beganMs = performance.now();
      await run();
      const tookMs = performance.now() - beganMs;
      const { p99Ms, maxMs, residentBytes } = await report(kvd);
      const megabytes = Math.round(residentBytes / 1e6);
      process.stdout.write(
        `| ${name} | ${Math.round(tookMs)} ms | ${p99Ms.toFixed(1)} ms | ${maxMs.toFixed(1)} ms | ${megabytes} MB |\n`,
      );
    }
  } finally {
    client.close();
    kvd.kill();
    await once(kvd, 'exit');
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
