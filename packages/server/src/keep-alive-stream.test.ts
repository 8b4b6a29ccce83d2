import type { LeaseId } from '@quorate/base';
import { KvError, type LeaseKeepAliveRequest, type LeaseKeepAliveResponse, ResponseHeader } from '@quorate/proto';
import type { ServerStream } from '@quorate/rpc';
import { expect, test } from 'vitest';
import { KeepAliveStream } from './keep-alive-stream.ts';
import type { Renewing } from './renewals.ts';

/** A stream, what it asks for, and what its client sees. */
function open() {
  const asked: Renewing[] = [];
  const full = new Map<LeaseId, { resolve: (ttl: number) => void; reject: (error: unknown) => void }>();
  const seen: string[] = [];
  const network = { accepts: true, isPaused: false, revision: 1, hasState: true };
  let take!: (request: LeaseKeepAliveRequest) => void;
  let end!: () => void;
  let drain!: () => void;
  const stream: Pick<ServerStream<LeaseKeepAliveResponse>, 'send' | 'onDrain' | 'end' | 'fail'> = {
    send: ({ header, id, ttl }) => {
      seen.push(`${id} for ${ttl} at ${header?.revision}`);
      return network.accepts;
    },
    onDrain: (fn) => {
      drain = fn;
    },
    end: () => void seen.push('end'),
    fail: (error) => void seen.push((error as KvError).code),
  };
  new KeepAliveStream({
    requests: {
      onMessage: (fn) => {
        take = fn;
      },
      onEnd: (fn) => {
        end = fn;
      },
      pause: () => {
        network.isPaused = true;
      },
      resume: () => {
        network.isPaused = false;
      },
    },
    stream: stream as ServerStream<LeaseKeepAliveResponse>,
    header: () => {
      if (!network.hasState) throw new KvError('leaderChanged');
      return ResponseHeader.create({ revision: network.revision });
    },
    renew: (renewing) => void asked.push(renewing),
    renewInFull: (id) => new Promise((resolve, reject) => void full.set(id, { resolve, reject })),
  }).start();
  return { asked, full, seen, network, take: (id: LeaseId) => take({ id }), end: () => end(), drain: () => drain() };
}

test('answers leave in the order of the questions, under the header of when they were asked', () => {
  const { asked, seen, network, take } = open();
  take(1n);
  network.revision = 2;
  take(2n);
  take(3n);
  asked[1]!.renewed(20);
  expect(seen).toEqual([]);
  asked[0]!.renewed(10);
  expect(seen).toEqual(['1 for 10 at 1', '2 for 20 at 2']);
  asked[2]!.renewed(0);
  expect(seen.at(-1)).toBe('3 for 0 at 2');
});

test('one that cannot be told at once is asked for in full, and those behind it wait', async () => {
  const { asked, full, seen, take } = open();
  take(1n);
  take(2n);
  asked[0]!.undecided();
  asked[1]!.renewed(20);
  expect(seen).toEqual([]);
  full.get(1n)!.resolve(10);
  await Promise.resolve();
  expect(seen).toEqual(['1 for 10 at 1', '2 for 20 at 1']);
});

test('the stream ends when its client ended it and all is answered', () => {
  const { asked, seen, take, end } = open();
  take(1n);
  end();
  expect(seen).toEqual([]);
  asked[0]!.renewed(10);
  expect(seen).toEqual(['1 for 10 at 1', 'end']);
});

test('an error ends the stream, once, and nothing is said after it', async () => {
  const { asked, full, seen, take } = open();
  for (const id of [1n, 2n, 3n]) take(id);
  asked[0]!.undecided();
  asked[1]!.failed(new KvError('timeout'));
  full.get(1n)!.reject(new KvError('noLeader'));
  await Promise.resolve();
  asked[2]!.renewed(10);
  asked[2]!.undecided();
  expect(seen).toEqual(['timeout']);
  expect(full.has(3n)).toBe(false);
});

test('a client is read from no further while 1,000 are under way, or while it does not read', () => {
  const { asked, network, take, drain } = open();
  for (let i = 1; i <= 999; i++) take(BigInt(i));
  expect(network.isPaused).toBe(false);
  take(1_000n);
  expect(network.isPaused).toBe(true);
  network.accepts = false;
  asked[0]!.renewed(10);
  expect(network.isPaused).toBe(true);
  network.accepts = true;
  drain();
  expect(network.isPaused).toBe(false);
});

test('a renewal while a received snapshot takes the place of the state ends the stream with the reason', () => {
  const { asked, seen, network, take } = open();
  network.hasState = false;
  take(1n);
  network.hasState = true;
  take(2n);
  expect(seen).toEqual(['leaderChanged']);
  expect(asked).toEqual([]);
});
