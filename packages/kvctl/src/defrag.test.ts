import { maintenanceService, Status } from '@quorate/proto';
import { expect, test } from 'vitest';
import { FakeWorld } from './testing/fake-io.ts';

const { defragment } = maintenanceService.methods;

test('each endpoint is defragmented and named with the time it took', async () => {
  const { code, stdout, stderr } = await new FakeWorld().answer(defragment, {}).run('defrag --endpoints a:1,b:1');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(
    /^Finished defragmenting etcd member\[a:1\]\. took [\d.]+[mµn]?s\nFinished defragmenting etcd member\[b:1\]\. took [\d.]+[mµn]?s\n$/,
  );
});

test('a failure is named with its reason, the others are defragmented all the same', async () => {
  const world = new FakeWorld().refuse(defragment, Status.UNKNOWN, 'cannot write backend: no room');
  const { code, stdout, stderr, asked } = await world.run('defrag --endpoints a:1,b:1');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/^Failed to defragment etcd member\[a:1\]\. took [\d.]+[mµn]?s\. \(.*no room\)\nFailed .*b:1/);
  expect(asked.filter(({ path }) => path === defragment.path)).toHaveLength(2);
});

test('no time limit holds but the one that was given', async () => {
  const limited = await new FakeWorld().run('defrag --endpoints a:1 --command-timeout 7s');
  expect(limited.stderr).toMatch(
    /Failed to defragment etcd member\[a:1\]\. took 7\.?\d*s\. \(context deadline exceeded\)/,
  );
  expect(limited.tookMs).toBeLessThan(8_000);
  const patient = await new FakeWorld().run('defrag --endpoints a:1');
  expect(patient.tookMs).toBeGreaterThan(60_000);
});
