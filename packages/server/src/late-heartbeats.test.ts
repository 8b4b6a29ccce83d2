import type { MemberId } from '@quorate/base';
import { Message, MessageType } from '@quorate/proto';
import { expect, test } from 'vitest';
import { LateHeartbeats } from './late-heartbeats.ts';
import { CountingMeter } from './testing/counting-meter.ts';
import { ManualClock } from './testing/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const meter = new CountingMeter();
  const heartbeats = new LateHeartbeats({ clock, meter, heartbeatMs: 100 });
  const beat = (...to: MemberId[]): void =>
    heartbeats.sent(to.map((id) => Message.create({ type: MessageType.MSG_HEARTBEAT, to: id })));
  const failures = (): number | undefined => meter.value('etcd_server_heartbeat_send_failures_total');
  return { clock, heartbeats, beat, failures };
}

test('a heartbeat more than two intervals after the one before is late, for each follower', () => {
  const { clock, beat, failures } = setUp();
  beat(2n, 3n);
  clock.advance(200);
  beat(2n, 3n);
  expect(failures()).toBe(0);
  clock.advance(201);
  beat(2n, 3n);
  expect(failures()).toBe(2);
});

test('other messages are no heartbeats, and a follower that is new was never kept waiting', () => {
  const { clock, heartbeats, beat, failures } = setUp();
  beat(2n);
  clock.advance(150);
  heartbeats.sent([Message.create({ type: MessageType.MSG_APP, to: 2n })]);
  clock.advance(150);
  beat(3n);
  expect(failures()).toBe(0);
  beat(2n);
  expect(failures()).toBe(1);
});

test('the silence between two leaderships is not late', () => {
  const { clock, heartbeats, beat, failures } = setUp();
  beat(2n);
  heartbeats.leaderChanged();
  clock.advance(10_000);
  beat(2n);
  expect(failures()).toBe(0);
});
