import type { ApplyResult } from '@quorate/apply';
import { type MemberId, silentLogger } from '@quorate/base';
import { type InternalRaftRequest, KvError, MemberAttributesSet } from '@quorate/proto';
import { expect, test } from 'vitest';
import { publish } from './publish.ts';
import { leadershipOfFirst } from './testing/leadership.ts';
import { ManualClock } from './testing/manual-clock.ts';

const timeoutMs = 7_000;
const applied = { response: Buffer.alloc(0) } as unknown as ApplyResult;

function setUp() {
  const clock = new ManualClock();
  const connectedSinceMs = (_peer: MemberId): undefined => undefined;
  const leadership = leadershipOfFirst(clock, connectedSinceMs);
  const proposed: {
    readonly request: InternalRaftRequest;
    readonly answer: (outcome: ApplyResult | KvError) => void;
  }[] = [];
  const state = { stopping: false, done: false };
  const attributes = MemberAttributesSet.create({ memberId: 1n, name: 'a', clientUrls: ['http://a'] });
  const done = publish({
    clock,
    attributes,
    leadership,
    propose: (request) => new Promise((answer) => proposed.push({ request, answer })),
    timeoutMs,
    stopping: () => state.stopping,
    logger: silentLogger,
  }).then(() => {
    state.done = true;
  });
  return { clock, leadership, proposed, state, done };
}

/** Lets promises that can settle now do so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test('a member is known when its attributes were applied', async () => {
  const { leadership, proposed, done } = setUp();
  leadership.changed(2n);
  await settled();
  expect(proposed.map(({ request }) => request.memberAttributesSet?.name)).toEqual(['a']);
  proposed[0]!.answer(applied);
  await done;
});

test('nothing is proposed before there is a leader', async () => {
  const { leadership, proposed } = setUp();
  await settled();
  expect(proposed).toHaveLength(0);
  leadership.changed(3n);
  await settled();
  expect(proposed).toHaveLength(1);
});

test('another leader is told again at once; a leader lost and found is not', async () => {
  const { leadership, proposed, state, done } = setUp();
  leadership.changed(2n);
  await settled();
  leadership.changed(0n);
  leadership.changed(2n);
  await settled();
  expect(proposed).toHaveLength(1);
  leadership.changed(0n);
  leadership.changed(3n);
  await settled();
  expect(proposed).toHaveLength(2);
  expect(state.done).toBe(false);
  proposed[1]!.answer(applied);
  await done;
});

test('a refusal is followed by another try, after a pause, until the member stops', async () => {
  const { clock, leadership, proposed, state, done } = setUp();
  leadership.changed(2n);
  await settled();
  // A member that is behind refuses at once: without a pause it would do nothing but ask, and never catch up.
  proposed[0]!.answer(new KvError('tooManyRequests'));
  await settled();
  expect(proposed).toHaveLength(1);
  clock.advance(100);
  await settled();
  expect(proposed).toHaveLength(2);
  state.stopping = true;
  proposed[1]!.answer(new KvError('stopped'));
  await settled();
  clock.advance(100);
  await done;
});
