/**
 * Backups of three members with 40 MB of data while eight writers go on, each restored to one or to three fresh members, which must
 * hold what the log had at the backup's revision; and a copy of each damaged, which must be refused. `QUORATE_BACKUP_ROUNDS` sets how
 * many, `QUORATE_BACKUP_SEED` where chance begins.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '@quorate/base';
import { afterEach, expect, test } from 'vitest';
import { expectState, History, kvctl, restoreCluster, revisionOf, Writers } from '../support/backup-story.ts';
import { runKvctlHere } from '../support/kvctl.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const rounds = Number(process.env['QUORATE_BACKUP_ROUNDS'] ?? 20);
const seed = Number(process.env['QUORATE_BACKUP_SEED'] ?? Date.now() % 1_000_000);
const writers = 8;
const seededKeys = 20_000;
const seededValueBytes = 2_000;
const keysPerTxn = 100;
const callsBetween = 500;

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

test(`${rounds} backups under load (seed ${seed})`, async () => {
  const random = new SeededRandom(seed);
  const directory = mkdtempSync(join(tmpdir(), 'kvd-backups-'));
  open.push(() => rmSync(directory, { recursive: true }));
  const cluster = await KvdCluster.start(3);
  open.push(() => cluster.close());
  const clients = Array.from({ length: writers }, (_, i) => new RawClient(cluster.endpoints[i % 3]!));
  open.push(() => clients.map((client) => client.close()));
  const [first] = clients as [RawClient];
  const history = new History();
  await fill(first, history);
  for (let round = 0; round < rounds; round++) {
    const load = new Writers(clients, history, `round${round}.`);
    const file = join(directory, `${round}.db`);
    await busy(load);
    const before = load.calls;
    const startedMs = Date.now();
    await kvctl(['snapshot', 'save', file], cluster.endpoints[random.below(3)]!);
    const tookMs = Date.now() - startedMs;
    const during = load.calls - before;
    await busy(load);
    await load.stop();
    const revision = await revisionOf(file);
    const { hash } = await first.hashKv(revision);
    const size = round % 2 === 0 ? 1 : 3;
    await judge(file, size, { history, revision, hash });
    await refuseDamage(file, random);
    const bytes = readFileSync(file).length;
    console.log(JSON.stringify({ round, bytes, tookMs, writesMeanwhile: during, revision, restoredTo: size }));
    expect(during).toBeGreaterThan(0);
    rmSync(file);
  }
});

/** Enough that a backup takes a while. */
async function fill(client: RawClient, history: History): Promise<void> {
  const value = 'v'.repeat(seededValueBytes);
  for (let i = 0; i < seededKeys; i += keysPerTxn) {
    const keys = Array.from({ length: keysPerTxn }, (_, j) => `seed/${i + j}`);
    const { header } = await client.putAll(
      keys.map((key) => [key, value] as const),
      60_000,
    );
    history.note(
      header!.revision,
      keys.map((key) => ({ key, value, lease: 0n })),
    );
  }
}

async function busy(load: Writers): Promise<void> {
  const goal = load.calls + callsBetween;
  await waitFor('writes', 120_000, async () => (load.calls >= goal ? true : undefined));
}

async function judge(file: string, size: number, state: Parameters<typeof expectState>[1]): Promise<void> {
  const restored = await KvdCluster.create(size);
  const clients = restored.endpoints.map((endpoint) => new RawClient(endpoint));
  try {
    await restoreCluster(file, restored);
    await expectState(clients, state);
    const { header } = await clients[0]!.put('after', 'x', 60_000);
    expect(header!.revision).toBe(state.revision + 1);
  } finally {
    for (const client of clients) client.close();
    await restored.close();
  }
}

/** A flipped bit, a cut, or more bytes at a random place. */
async function refuseDamage(file: string, random: SeededRandom): Promise<void> {
  const whole = readFileSync(file);
  const at = random.below(whole.length);
  const flipped = Buffer.from(whole);
  flipped[at]! ^= 1 << random.below(8);
  const inserted = Buffer.concat([whole.subarray(0, at), Buffer.alloc(512), whole.subarray(at)]);
  for (const bytes of [flipped, whole.subarray(0, at), inserted]) {
    const damaged = `${file}.damaged`;
    writeFileSync(damaged, bytes);
    const args = ['snapshot', 'restore', damaged, '--data-dir', `${file}.dir`];
    expect({ at, ...(await runKvctlHere({ args }, '127.0.0.1:1')) }).toMatchObject({ at, code: 1, stdout: '' });
    rmSync(damaged);
  }
  expect(readdirSync(join(file, '..')).filter((name) => name.includes('.dir'))).toEqual([]);
}
