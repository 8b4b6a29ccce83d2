import { expect, test } from 'vitest';
import { SnapshotMetrics } from './snapshot-metrics.ts';
import { CountingMeter } from './testing/counting-meter.ts';
import { ManualClock } from './testing/manual-clock.ts';

test('a state is shown while it is put in place, also when that fails', async () => {
  const meter = new CountingMeter();
  const metrics = new SnapshotMetrics(new ManualClock(), meter);
  const shown = (): number | undefined => meter.value('etcd_server_snapshot_apply_in_progress_total');
  const during: unknown[] = [];
  await metrics.applying(async () => void during.push(shown()));
  during.push(shown());
  const failing = metrics.applying(() => Promise.reject(new Error('no')));
  during.push(shown());
  await expect(failing).rejects.toThrow('no');
  expect([...during, shown()]).toEqual([1, 0, 1, 0]);
});

test('saves and syncs are timed when they are done, not when they failed', async () => {
  const meter = new CountingMeter();
  const metrics = new SnapshotMetrics(new ManualClock(), meter);
  await metrics.saving(() => metrics.syncing(() => Promise.resolve()));
  await expect(metrics.saving(() => metrics.syncing(() => Promise.reject(new Error('no'))))).rejects.toThrow('no');
  expect(meter.value('etcd_snap_db_save_total_duration_seconds')).toBe(1);
  expect(meter.value('etcd_snap_db_fsync_duration_seconds')).toBe(1);
});
