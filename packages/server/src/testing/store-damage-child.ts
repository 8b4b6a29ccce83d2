/**
 * A process for tests that open damaged stores, which may end it.
 *
 *   build DIRECTORY                      makes a store there: versions of keys, leases, members and more, large values, free pages
 *   read DIRECTORY FROM TO               for each seed in [FROM, TO): damages a copy of it, opens that as a start does, reads all of it,
 *                                        writes to it, and tells on standard output `SEED OUTCOME REASON`
 *   live DIRECTORY FROM TO               the same with a copy that is open when it is damaged, and is searched then; ends when that is
 *                                        not as it was, as a member does
 *
 * Outcomes: `same`, what was written is read, before and after further commits; `before`, the same of the state one commit earlier,
 * which is what a crash may leave, too; `found`, it was called damaged; `later`, no search finds it while the store is open, and no
 * reader of keys meets it, but the next start finds it; `wrong`, everything else.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { allBuckets, type Backend, buckets, lmdbBackendFactory } from '@quorate/backend';
import {
  type Clock,
  CorruptionError,
  noCrashPoints,
  type Random,
  SeededRandom,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { noLeases, RowIntake, Store } from '@quorate/mvcc';
import { crc32c } from '@quorate/wal';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (run) => void setImmediate(run),
};
const tools = { clock, logger: silentLogger, meter: silentMeter, crash: noCrashPoints };
const pageBytes = 4_096;
const sectorBytes = 512;
const keyCount = 1_200;

/** Digests of the two last states of the store. */
interface Digests {
  readonly last: string;
  readonly before: string;
}

function openBackend(directory: string, intake?: RowIntake): Promise<Backend> {
  return lmdbBackendFactory({ directory, ...tools }).open('db', intake);
}

function openStore(backend: Backend, intake?: RowIntake): Promise<Store> {
  const onFatal = (error: unknown): never => {
    throw error;
  };
  return Store.open({ ...tools, backend, leases: noLeases, checksum: crc32c, onFatal }, intake);
}

async function build(directory: string): Promise<void> {
  const random = new SeededRandom(1);
  const backend = await openBackend(directory);
  const store = await openStore(backend);
  const put = (i: number): void => {
    const txn = store.write();
    const size = i % 211 === 0 ? 3_000 + 37 * i : random.below(60);
    if (i % 17 === 16) txn.deleteRange(`key ${i - 5}`, undefined);
    else txn.put(`key ${i}`, Buffer.alloc(size, `${i} `), 0n);
    txn.end();
  };
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < keyCount; i++) {
      put((i * 7) % keyCount);
      if (i % 200 === 0) await backend.commit().durable;
    }
    for (let i = 0; i < 250; i++) backend.put(buckets.lease, `lease ${i}`, Buffer.alloc(40, i + round));
  }
  const other = [
    buckets.alarm,
    buckets.cluster,
    buckets.members,
    buckets.membersRemoved,
    buckets.auth,
    buckets.authUsers,
  ];
  for (const bucket of other) {
    for (let i = 0; i < 20; i++) backend.put(bucket, `${bucket.name} ${i}`, Buffer.from(`value ${i}`));
  }
  await backend.commit().durable;
  await store.compact(keyCount).done;
  await backend.commit().durable;
  const before = digestOf(backend);
  for (let i = 0; i < 50; i++) put(i);
  await backend.commit().durable;
  writeFileSync(join(directory, 'digests.json'), JSON.stringify({ last: digestOf(backend), before } satisfies Digests));
  await store.close();
  await backend.close();
}

/** Of all rows, as walks and as single reads see them. */
function digestOf(backend: Backend): string {
  const hash = createHash('sha256');
  for (const bucket of allBuckets) {
    for (const { key, value } of backend.range(bucket, { from: '' })) {
      const single = backend.get(bucket, key);
      if (single === undefined || !single.equals(value))
        return `a read of ${bucket.name} finds another row than a walk`;
      hash.update(`${bucket.id} ${key.length} ${value.length} ${key}`, 'latin1').update(value);
    }
  }
  return hash.digest('hex');
}

async function read(directory: string, from: number, to: number, isLive: boolean): Promise<void> {
  const whole = readFileSync(join(directory, 'db'));
  const digests = JSON.parse(readFileSync(join(directory, 'digests.json'), 'utf8')) as Digests;
  const place = join(directory, `copy-${from}`);
  for (let seed = from; seed < to; seed++) {
    mkdirSync(place, { recursive: true });
    const damaged = damage(Buffer.from(whole), new SeededRandom(seed));
    writeFileSync(join(place, 'db'), isLive ? whole : damaged);
    const outcome = await (isLive ? outcomeOfLive(place, damaged, digests) : outcomeOf(place, digests));
    writeSync(1, `${seed} ${outcome}\n`);
    rmSync(place, { recursive: true });
    if (isLive && outcome !== 'same') process.exit(0);
  }
}

/** A bit turned, a sector zeroed, or two pages that changed places; half of it where pages say what is in them. */
function damage(bytes: Buffer, random: Random): Buffer {
  const pages = bytes.length / pageBytes;
  const page = random.below(20) === 0 ? random.below(2) : random.below(pages);
  const kind = random.below(10);
  if (kind === 0) {
    const sector = page * pageBytes + sectorBytes * random.below(pageBytes / sectorBytes);
    return bytes.fill(0, sector, sector + sectorBytes);
  }
  if (kind === 1) {
    const other = random.below(pages);
    const kept = Buffer.from(bytes.subarray(page * pageBytes, (page + 1) * pageBytes));
    bytes.copyWithin(page * pageBytes, other * pageBytes, (other + 1) * pageBytes);
    kept.copy(bytes, other * pageBytes);
    return bytes;
  }
  const at = page * pageBytes + random.below(random.below(2) === 0 ? 200 : pageBytes);
  bytes[at]! ^= 1 << random.below(8);
  return bytes;
}

async function outcomeOf(directory: string, digests: Digests): Promise<string> {
  try {
    const found = await readAll(directory);
    if (found === digests.last) return 'same';
    return found === digests.before ? 'before' : `wrong ${found}`;
  } catch (error) {
    return error instanceof CorruptionError ? `found ${error.message}` : `wrong ${String(error)}`;
  }
}

async function outcomeOfLive(directory: string, damaged: Buffer, digests: Digests): Promise<string> {
  const backend = await openBackend(directory);
  const store = await openStore(backend);
  const file = openSync(join(directory, 'db'), 'r+');
  writeSync(file, damaged, 0, damaged.length, 0);
  closeSync(file);
  let outcome = 'later';
  try {
    for (const _ of store.scrub());
    if (digestOf(backend) === digests.last) outcome = 'same';
  } catch (error) {
    outcome = error instanceof CorruptionError ? `found ${error.message}` : `wrong ${String(error)}`;
  }
  await store.close();
  await backend.close();
  if (outcome !== 'later') return outcome;
  const atStart = await outcomeOf(directory, digests);
  return atStart.startsWith('found') ? 'later' : `wrong at a start: ${atStart}`;
}

/** What a start reads, a search for damage, and both again after commits that use free pages. */
async function readAll(directory: string): Promise<string> {
  const intake = new RowIntake(crc32c);
  const backend = await openBackend(directory, intake);
  let digest: string;
  try {
    digest = digestOf(backend);
    const store = await openStore(backend, intake);
    for (const _ of store.scrub());
    await store.close();
    for (let batch = 0; batch < 3; batch++) {
      for (let i = 0; i < 60; i++) backend.put(buckets.authRoles, `${batch} ${i}`, Buffer.alloc(300, batch));
      await backend.commit().durable;
    }
    for (const { key } of backend.range(buckets.authRoles, { from: '' })) backend.remove(buckets.authRoles, key);
  } finally {
    await backend.close();
  }
  const again = await openBackend(directory);
  try {
    const later = digestOf(again);
    return later === digest ? digest : `what was read changed: ${later}`;
  } finally {
    await again.close();
  }
}

const [mode, directory, from, to] = process.argv.slice(2);
if (mode === 'build') await build(directory!);
else await read(directory!, Number(from), Number(to), mode === 'live');
