import { KeyValue, kvService, maintenanceService, PutRequest, Status } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { FakeWorld } from './testing/fake-io.ts';

const { range, put, deleteRange, compact } = kvService.methods;
const { defragment } = maintenanceService.methods;
const header = { clusterId: 1n, memberId: 2n, revision: 77, raftTerm: 4 };

function world(): FakeWorld {
  return new FakeWorld()
    .answer(range, { header })
    .answer(put, { header })
    .answer(deleteRange, { header, deleted: 1 })
    .answer(compact, { header })
    .answer(defragment, {});
}

const metrics = (bytes: number): string => `# HELP x\nprocess_resident_memory_bytes ${bytes}\nother 1\n`;

describe('check perf', () => {
  test('writes 150 times a second for a minute, deletes what it wrote and passes', async () => {
    const { code, stdout, asked, tookMs } = await world().run('check perf');
    expect([code, stdout]).toEqual([
      0,
      'PASS: Throughput is 151 writes/s\nPASS: Slowest request took 0.000000s\nPASS: Stddev is 0.000000s\nPASS\n',
    ]);
    expect(Math.round(tookMs / 1_000)).toBe(60);
    const puts = asked.filter(({ path }) => path === put.path).map(({ request }) => PutRequest.decode(request));
    expect(puts.length).toBe(9_000);
    const prefix = Buffer.from('/etcdctl-check-perf/');
    expect(
      puts.every(({ key, value }) => key.indexOf(prefix) === 0 && key.length === 276 && value.length === 1_024),
    ).toBe(true);
    expect(new Set(puts.map(({ key }) => key.toString('latin1'))).size).toBeGreaterThan(8_990);
    expect(deleteRange.request.decode(asked.at(-1)!.request)).toMatchObject({ key: prefix });
  });

  test('compacts and defragments when asked', async () => {
    const line = 'check perf --auto-compact --auto-defrag --endpoints a:1,b:1';
    const { code, stdout } = await world().run(line);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^Compacting with revision 77\nCompacted with revision 77\nDefragmenting "a:1"\nDefragmented "a:1"\nDefragmenting "b:1"\nDefragmented "b:1"\nPASS: /,
    );
  });

  test('fails when writes fail, and says how many', async () => {
    const failing = world().refuse(put, Status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded');
    expect(await failing.run('check perf --load s')).toMatchObject({
      code: 1,
      stdout:
        'FAIL: too many errors\nFAIL: ERROR(etcdserver: mvcc: database space exceeded) -> 9000\n' +
        'FAIL: Throughput too low: 1 writes/s\nPASS: Slowest request took 0.000000s\nPASS: Stddev is 0.000000s\nFAIL\n',
      stderr: '',
    });
  });

  test('says when it could not clean up', async () => {
    const failing = world().refuse(deleteRange, Status.UNAVAILABLE, 'etcdserver: no leader');
    const { stdout } = await failing.run('check perf');
    expect(stdout).toMatch(/^FAIL: Cleanup failed during key deletion: ERROR\(etcdserver: no leader\)\nPASS: /);
  });

  test('stops at a signal and deletes what it wrote', async () => {
    const interrupted = world();
    const running = interrupted.run('check perf --load m');
    setImmediate(() => setImmediate(() => setImmediate(() => interrupted.interrupt('SIGINT'))));
    const { asked, stdout } = await running;
    expect(asked.length).toBeLessThan(1_000);
    expect(asked.at(-1)!.path).toBe(deleteRange.path);
    expect(stdout).toMatch(/PASS|FAIL/);
  });
});

describe('check datascale', () => {
  test('tells by how much the memory of the member grew', async () => {
    const { code, stdout, asked } = await world().run('check datascale', {
      metrics: [metrics(10 * 2 ** 20), metrics(32.5 * 2 ** 20)],
    });
    expect([code, stdout]).toEqual([
      0,
      'Start data scale check for work load [10000 key-value pairs, 1024 bytes per key-value, 50 concurrent clients].\n' +
        'PASS: Approximate system memory used : 22.50 MB.\n',
    ]);
    expect(asked.filter(({ path }) => path === put.path).length).toBe(10_000);
    expect(asked.at(-1)!.path).toBe(deleteRange.path);
  });

  test('needs to read the memory', async () => {
    const failure = 'FAIL: Could not read process_resident_memory_bytes';
    expect(await world().run('check datascale', { metrics: ['nothing'] })).toMatchObject({
      code: 1,
      stdout: `could not find: process_resident_memory_bytes\n${failure} before the put operations.\n`,
      stderr: '',
    });
    const { code, stdout, asked } = await world().run('check datascale --endpoints a:1', { metrics: [metrics(1)] });
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /\nfetch error: connect ECONNREFUSED http:\/\/a:1\/metrics\nFAIL: .* after the put operations.\n$/,
    );
    expect(asked.at(-1)!.path).toBe(deleteRange.path);
  });
});

test.each(['perf', 'datascale'])(
  'check %s refuses a load that it does not know, and a prefix with keys',
  async (name) => {
    expect(await world().run(`check ${name} --load q`)).toMatchObject({
      code: 4,
      stderr: 'Error: unknown load option q\n',
      asked: [],
    });
    const full = world().answer(range, { header, kvs: [KeyValue.create({ key: Buffer.from('a') })], count: 1 });
    expect(await full.run(`check ${name} --prefix a --load xLarge`)).toMatchObject({
      code: 3,
      stderr: `Error: prefix "a" has keys. Delete with 'kvctl del --prefix a' first\n`,
    });
  },
);
