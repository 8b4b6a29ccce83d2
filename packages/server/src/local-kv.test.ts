/** What a call follows ends with the call, and costs it one listener however often it follows something anew. */
import { silentMeter } from '@quorate/base';
import { WatchHub } from '@quorate/mvcc';
import type { ServerCall } from '@quorate/rpc';
import { expect, test } from 'vitest';
import { LocalKv } from './local-kv.ts';
import { ManualClock } from './testing/manual-clock.ts';

const never = (): never => {
  throw new Error('not to be called');
};

class Call {
  readonly listeners: (() => void)[] = [];
  cancelled = false;

  onCancel(fn: () => void): void {
    this.listeners.push(fn);
  }

  cancel(): void {
    this.cancelled = true;
    for (const listener of this.listeners) listener();
  }

  get asCall(): ServerCall {
    return this as unknown as ServerCall;
  }
}

function setUp() {
  const hub = new WatchHub({ clock: new ManualClock(), meter: silentMeter, onFatal: never });
  const kv = { range: never, txn: never, deleteRange: never };
  const local = new LocalKv({ kv, leases: { grant: never, renew: never }, hub });
  const call = new Call();
  const follow = (): Promise<string> => {
    const following = { key: 'k', startRevision: 1, onEvent: (): 'done' => 'done' };
    return local.follow(following, call.asCall).then(String, (error: { code: string }) => error.code);
  };
  return { hub, local, call, follow };
}

test('a call that follows one thing after the other is listened to once', async () => {
  const { hub, local, call, follow } = setUp();
  for (let i = 0; i < 3; i++) {
    const ended = follow();
    local.stop();
    expect(await ended).toBe('stopped');
  }
  expect(call.listeners).toHaveLength(1);
  expect({ streams: hub.streamCount, watchers: hub.watcherCount }).toEqual({ streams: 0, watchers: 0 });
});

test('what a call follows ends when the caller goes, and nothing begins after that', async () => {
  const { hub, call, follow } = setUp();
  const both = [follow(), follow()];
  expect(hub.watcherCount).toBe(2);
  call.cancel();
  expect(await Promise.all(both)).toEqual(['requestCanceled', 'requestCanceled']);
  expect(await follow()).toBe('requestCanceled');
  expect({ streams: hub.streamCount, watchers: hub.watcherCount }).toEqual({ streams: 0, watchers: 0 });
});
