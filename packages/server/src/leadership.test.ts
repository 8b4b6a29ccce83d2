import { type Logger, noMember, silentLogger } from '@quorate/base';
import { describe, expect, test } from 'vitest';
import { leadershipOfFirst } from './testing/leadership.ts';
import { ManualClock } from './testing/manual-clock.ts';

/** Keeps what is of interest to operators. */
function recorder(lines: string[]): Logger {
  return { ...silentLogger, info: (message, facts) => lines.push(`${message} ${facts?.['leader']}`) };
}

function setUp() {
  const clock = new ManualClock();
  const connected = new Map<bigint, number>();
  const lines: string[] = [];
  const leadership = leadershipOfFirst(clock, (peer) => connected.get(peer), recorder(lines));
  return { clock, connected, leadership, lines };
}

describe('a request that timed out', () => {
  test('is blamed on the election it started before', () => {
    const { clock, leadership } = setUp();
    clock.advance(10_000);
    const startedMs = clock.nowMs();
    clock.advance(1_500);
    leadership.changed(1n);
    expect(leadership.timeoutError(startedMs).code).toBe('timeoutLeaderFail');
  });

  test('is blamed on the connection when the leader is not reached since it began', () => {
    const { clock, connected, leadership } = setUp();
    leadership.changed(2n);
    clock.advance(10_000);
    const startedMs = clock.nowMs();
    expect(leadership.timeoutError(startedMs).code).toBe('timeoutConnectionLost');
    connected.set(2n, startedMs + 1);
    expect(leadership.timeoutError(startedMs).code).toBe('timeoutConnectionLost');
    connected.set(2n, startedMs - 1);
    expect(leadership.timeoutError(startedMs).code).toBe('timeout');
  });

  test('without a leader is blamed on its loss, or on the connection when it was lost before', () => {
    const { clock, leadership } = setUp();
    leadership.changed(2n);
    clock.advance(5_000);
    const startedMs = clock.nowMs();
    clock.advance(10);
    leadership.changed(noMember);
    expect(leadership.timeoutError(startedMs).code).toBe('timeoutLeaderFail');
    clock.advance(10);
    expect(leadership.timeoutError(clock.nowMs()).code).toBe('timeoutConnectionLost');
  });
});

describe('waiting for a leader', () => {
  test('ends with the change that fits, or with the time', async () => {
    const { clock, leadership } = setUp();
    const moved = leadership.waitFor((leader) => leader === 3n, 1_000);
    leadership.changed(2n);
    leadership.changed(3n);
    expect(await moved).toBe(true);
    const never = leadership.waitFor((leader) => leader === 9n, 1_000);
    clock.advance(1_000);
    expect(await never).toBe(false);
  });
});

test('elections and losses are logged, once each', () => {
  const { leadership, lines } = setUp();
  leadership.changed(1n);
  leadership.changed(1n);
  leadership.changed(noMember);
  leadership.changed(noMember);
  leadership.changed(0xabn);
  expect(lines).toEqual(['elected leader 1', 'lost leader 1', 'elected leader ab']);
});
