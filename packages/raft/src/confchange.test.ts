import type { ConfChangeSingle } from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  applyChange,
  asV2,
  type ChangeBase,
  type ChangeResult,
  enterJoint,
  leaveJoint,
  restoreMembership,
  simpleChange,
} from './confchange.ts';
import { changesToText, parseChanges, textCodec } from './testing/conf-change-text.ts';
import { describeMembership } from './testing/describe.ts';
import { emptyMembership, type Membership, type ProgressMap, ProgressTracker } from './tracker.ts';
import { ConfChangeTransition, ConfChangeType, emptyBytes } from './types.ts';

const inflightLimits = { countMax: 4, bytesMax: Number.POSITIVE_INFINITY };
const empty: ChangeBase = { membership: emptyMembership, progress: new Map(), lastIndex: 10, inflightLimits };

function taken(result: ChangeResult): ChangeBase {
  if (!result.ok) throw new Error(result.reason);
  return { membership: result.membership, progress: result.progress, lastIndex: 10, inflightLimits };
}

/** A configuration with these voters and learners. */
function group(text: string): ChangeBase {
  return taken(
    parseChanges(text).reduce<ChangeResult>((result, change) => simpleChange(taken(result), [change]), {
      ok: true,
      membership: empty.membership,
      progress: empty.progress,
    }),
  );
}

const single = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  nodeId: fc.integer({ min: 0, max: 6 }).map((id) => BigInt(id)),
});
const someChanges = fc.array(single, { maxLength: 6 });

test('a change leaves what it starts from alone', () => {
  const base = group('v1 v2');
  const before = base.progress.get(2n);
  taken(simpleChange(base, parseChanges('l2')));
  expect(before?.learner).toBe(false);
  expect(describeMembership(base.membership)).toBe('voters=(1 2)');
});

test('what is known about a member survives its promotion and its demotion', () => {
  const base = group('v1 v2 l3');
  base.progress.get(3n)!.match = 7;
  const promoted = taken(simpleChange(base, parseChanges('v3')));
  expect(promoted.progress.get(3n)).toMatchObject({ match: 7, learner: false });
  const demoted = taken(simpleChange(promoted, parseChanges('l3')));
  expect(demoted.progress.get(3n)).toMatchObject({ match: 7, learner: true });
});

test('a new member counts as active and is probed from the end of the log', () => {
  const base = group('v1 v2');
  expect(base.progress.get(2n)?.view()).toMatchObject({ match: 0, next: 10, recentActive: true });
});

test('more than one change goes through a joint configuration, one only if asked for', () => {
  const base = group('v1 v2');
  const run = (transition: number, text: string): string =>
    describeMembership(
      taken(applyChange(base, { transition, changes: parseChanges(text), context: emptyBytes })).membership,
    );
  const { CONF_CHANGE_TRANSITION_AUTO: auto } = ConfChangeTransition;
  expect(run(auto, 'v3')).toBe('voters=(1 2 3)');
  expect(run(auto, 'v3 l4')).toBe('voters=(1 2 3)&&(1 2) learners=(4) autoleave');
  expect(run(ConfChangeTransition.CONF_CHANGE_TRANSITION_JOINT_IMPLICIT, 'v3')).toBe('voters=(1 2 3)&&(1 2) autoleave');
  expect(run(ConfChangeTransition.CONF_CHANGE_TRANSITION_JOINT_EXPLICIT, 'v3')).toBe('voters=(1 2 3)&&(1 2)');
});

test('a joint configuration is not changed, only left', () => {
  const joint = taken(enterJoint(group('v1 v2'), parseChanges('v3 r1'), false));
  expect(simpleChange(joint, parseChanges('v4'))).toMatchObject({ ok: false });
  expect(enterJoint(joint, [], false)).toEqual({ ok: false, reason: 'config is already joint' });
  expect(describeMembership(taken(leaveJoint(joint)).membership)).toBe('voters=(2 3)');
  expect(leaveJoint(group('v1'))).toMatchObject({ ok: false });
});

test('a first configuration cannot be joint', () => {
  expect(enterJoint(empty, parseChanges('v1 v2'), false)).toMatchObject({ ok: false });
});

test('a change that names member 0 or none, or updates, changes nothing', () => {
  const base = group('v1 v2 l3');
  for (const text of ['v0', 'r0', 'l0', 'u1', 'u9']) {
    expect(taken(simpleChange(base, parseChanges(text))).membership).toEqual(base.membership);
  }
});

test('both forms of a change mean the same', () => {
  const change = { id: 7, type: ConfChangeType.CONF_CHANGE_REMOVE_NODE, nodeId: 3n, context: Buffer.from('x') };
  expect(changesToText(asV2(change))).toBe('r3');
  expect(asV2(change).context).toBe(change.context);
  expect(asV2(asV2(change))).toEqual(asV2(change));
});

test('any sequence of changes keeps configurations consistent and their majorities overlapping', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), someChanges), { maxLength: 25 }), (steps) => {
      let base = group('v1');
      for (const [kind, changes] of steps) {
        const result = run(base, kind, changes);
        if (!result.ok) continue;
        expect(result.membership.voters.incoming.length).toBeGreaterThan(0);
        expect(overlap(base.membership, result.membership)).toBe(true);
        expectRestores(result.membership, result.progress);
        base = taken(result);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('entering and leaving a joint configuration is as good as applying the changes one by one', () => {
  fc.assert(
    fc.property(someChanges, someChanges, (first, second) => {
      // A change at a time may pass through configurations without voters: keep member 9 for that, which nobody names.
      const base = group('v9');
      const before = taken(leaveJoint(taken(enterJoint(base, first, false))));
      const together = taken(leaveJoint(taken(enterJoint(before, second, true)))).membership;
      const oneByOne = second.reduce((at, change) => taken(simpleChange(at, [change])), before).membership;
      expect(describeMembership(together)).toBe(describeMembership(oneByOne));
    }),
    { numRuns: 1_000 },
  );
});

test('changes survive being written and read', () => {
  fc.assert(
    fc.property(someChanges, fc.nat(2), (changes, transition) => {
      const change = { transition, changes, context: emptyBytes };
      expect(textCodec.v2.decode(textCodec.v2.encode(change))).toEqual(change);
    }),
  );
});

function run(base: ChangeBase, kind: number, changes: readonly ConfChangeSingle[]): ChangeResult {
  if (kind === 0) return leaveJoint(base);
  return kind === 1 ? enterJoint(base, changes, changes.length % 2 === 0) : simpleChange(base, changes);
}

/** Every majority of one meets every majority of the other: tried for all subsets, not derived. */
function overlap(before: Membership, after: Membership): boolean {
  const all = [...new Set([...Object.values(before.voters).flat(), ...Object.values(after.voters).flat()])];
  const subsets = Array.from(
    { length: 1 << all.length },
    (_, bits) => new Set(all.filter((_id, i) => bits & (1 << i))),
  );
  const quorums = (of: Membership) => subsets.filter((set) => isQuorum(of, set));
  const [ours, theirs] = [quorums(before), quorums(after)];
  return ours.every((a) => theirs.every((b) => [...a].some((id) => b.has(id))));
}

function isQuorum({ voters }: Membership, set: ReadonlySet<bigint>): boolean {
  return [voters.incoming, voters.outgoing].every(
    (half) => half.length === 0 || half.filter((id) => set.has(id)).length * 2 > half.length,
  );
}

function expectRestores(membership: Membership, progress: ProgressMap): void {
  const tracker = new ProgressTracker(inflightLimits);
  tracker.switchTo(membership, progress);
  const restored = restoreMembership(tracker.confState(), { lastIndex: 10, inflightLimits });
  if (!restored.ok) throw new Error(restored.reason);
  expect(restored.membership).toEqual(membership);
  const learners = (map: ProgressMap) => [...map].filter(([, each]) => each.learner).map(([id]) => id);
  expect(new Set(restored.progress.keys())).toEqual(new Set(progress.keys()));
  expect(new Set(learners(restored.progress))).toEqual(new Set(learners(progress)));
}
