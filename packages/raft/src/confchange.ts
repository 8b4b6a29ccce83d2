/**
 * Configuration arithmetic: what a configuration becomes by a change. One voter at a time may change directly (thesis 4.1);
 * anything larger goes through a joint configuration, in which both the old and the new voters must agree (thesis 4.3). Nothing
 * is changed in place: a change yields a new membership and new progress, or the reason why it is not allowed.
 */
import type { MemberId } from '@quorate/base';
import type { ConfChange, ConfChangeSingle, ConfChangeV2, ConfState } from '@quorate/proto';
import { Inflights } from './inflights.ts';
import { Progress } from './progress.ts';
import { sortedIds } from './quorum.ts';
import { checkMembership, type InflightLimits, type Membership, type ProgressMap } from './tracker.ts';
import { ConfChangeTransition, ConfChangeType, emptyBytes } from './types.ts';

/** Where a change starts from. */
export interface ChangeBase {
  readonly membership: Membership;
  readonly progress: ProgressMap;
  /** Last index of the log: new members are probed from there. */
  readonly lastIndex: number;
  readonly inflightLimits: InflightLimits;
}

/** What a change leads to, or why it is refused. */
export type ChangeResult =
  | { readonly ok: true; readonly membership: Membership; readonly progress: ProgressMap }
  | { readonly ok: false; readonly reason: string };

/** Both forms of a change as the general one. */
export function asV2(change: ConfChange | ConfChangeV2): ConfChangeV2 {
  if ('changes' in change) return change;
  return {
    transition: ConfChangeTransition.CONF_CHANGE_TRANSITION_AUTO,
    changes: [{ type: change.type, nodeId: change.nodeId }],
    context: change.context,
  };
}

/** The change that leaves a joint configuration. */
export function leaveJointChange(): ConfChangeV2 {
  return { transition: ConfChangeTransition.CONF_CHANGE_TRANSITION_AUTO, changes: [], context: emptyBytes };
}

/** Whether `change` asks to leave a joint configuration. */
export function leavesJoint(change: ConfChangeV2): boolean {
  return change.changes.length === 0 && change.transition === ConfChangeTransition.CONF_CHANGE_TRANSITION_AUTO;
}

/** Applies `change`, going through a joint configuration when it asks for that or has to. */
export function applyChange(base: ChangeBase, change: ConfChangeV2): ChangeResult {
  if (leavesJoint(change)) return leaveJoint(base);
  const { transition, changes } = change;
  const simple = transition === ConfChangeTransition.CONF_CHANGE_TRANSITION_AUTO && changes.length <= 1;
  if (simple) return simpleChange(base, changes);
  const autoLeave = transition !== ConfChangeTransition.CONF_CHANGE_TRANSITION_JOINT_EXPLICIT;
  return enterJoint(base, changes, autoLeave);
}

/** Changes at most one voter, directly. */
export function simpleChange(base: ChangeBase, changes: readonly ConfChangeSingle[]): ChangeResult {
  if (base.membership.voters.outgoing.length > 0) return refused("can't apply simple config change in joint config");
  const draft = new Draft(base);
  draft.apply(changes);
  if (draft.incoming.size === 0) return refused('removed all voters');
  if (differences(base.membership.voters.incoming, draft.incoming) > 1) {
    return refused('more than one voter changed without entering joint config');
  }
  return draft.finish(false);
}

/** Makes the present voters the outgoing half and the changed ones the incoming half. */
export function enterJoint(base: ChangeBase, changes: readonly ConfChangeSingle[], autoLeave: boolean): ChangeResult {
  const { incoming, outgoing } = base.membership.voters;
  if (outgoing.length > 0) return refused('config is already joint');
  // Without voters there is nothing to agree with; a first configuration comes with a snapshot.
  if (incoming.length === 0) return refused("can't make a zero-voter config joint");
  const draft = new Draft(base);
  for (const id of incoming) draft.outgoing.add(id);
  draft.apply(changes);
  if (draft.incoming.size === 0) return refused('removed all voters');
  return draft.finish(autoLeave);
}

/** Drops the outgoing half; its voters that were to become learners do. */
export function leaveJoint(base: ChangeBase): ChangeResult {
  if (base.membership.voters.outgoing.length === 0) return refused("can't leave a non-joint config");
  const draft = new Draft(base);
  for (const id of draft.learnersNext) {
    draft.learners.add(id);
    draft.progress.get(id)!.learner = true;
  }
  draft.learnersNext.clear();
  for (const id of draft.outgoing) {
    if (!draft.incoming.has(id) && !draft.learners.has(id)) draft.progress.delete(id);
  }
  draft.outgoing.clear();
  return draft.finish(false);
}

/** The membership a snapshot or a restart begins with. */
export function restoreMembership(state: ConfState, base: Omit<ChangeBase, 'membership' | 'progress'>): ChangeResult {
  const membership: Membership = {
    voters: { incoming: sortedIds(state.voters), outgoing: sortedIds(state.votersOutgoing) },
    learners: sortedIds(state.learners),
    learnersNext: sortedIds(state.learnersNext),
    autoLeave: state.autoLeave,
  };
  const draft = new Draft({ ...base, membership, progress: new Map() });
  for (const id of [...draft.incoming, ...draft.outgoing]) draft.track(id, false);
  for (const id of draft.learners) draft.track(id, true);
  return draft.finish(state.autoLeave);
}

/** A membership being worked on. */
class Draft {
  readonly incoming: Set<MemberId>;
  readonly outgoing: Set<MemberId>;
  readonly learners: Set<MemberId>;
  readonly learnersNext: Set<MemberId>;
  readonly progress = new Map<MemberId, Progress>();
  readonly #base: ChangeBase;

  constructor(base: ChangeBase) {
    const { voters, learners, learnersNext } = base.membership;
    this.#base = base;
    this.incoming = new Set(voters.incoming);
    this.outgoing = new Set(voters.outgoing);
    this.learners = new Set(learners);
    this.learnersNext = new Set(learnersNext);
    for (const [id, progress] of base.progress) this.progress.set(id, progress.clone());
  }

  apply(changes: readonly ConfChangeSingle[]): void {
    for (const { type, nodeId } of changes) {
      // Id 0 is how a program turns a committed change that it refuses into none.
      if (nodeId === 0n) continue;
      if (type === ConfChangeType.CONF_CHANGE_ADD_NODE) this.#makeVoter(nodeId);
      else if (type === ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE) this.#makeLearner(nodeId);
      else if (type === ConfChangeType.CONF_CHANGE_REMOVE_NODE) this.#remove(nodeId);
      // An update changes what others keep about the member, nothing here.
    }
  }

  finish(autoLeave: boolean): ChangeResult {
    const membership: Membership = {
      voters: { incoming: sortedIds(this.incoming), outgoing: sortedIds(this.outgoing) },
      learners: sortedIds(this.learners),
      learnersNext: sortedIds(this.learnersNext),
      autoLeave,
    };
    checkMembership(membership, this.progress);
    return { ok: true, membership, progress: this.progress };
  }

  /** Begins to keep progress of a member. */
  track(id: MemberId, learner: boolean): void {
    if (this.progress.has(id)) return;
    const { lastIndex, inflightLimits } = this.#base;
    // It counts as active, or a check of the quorum right after its arrival could bring the leader down.
    const inflights = new Inflights(inflightLimits);
    const next = Math.max(lastIndex, 1);
    this.progress.set(id, new Progress({ match: 0, next, learner, recentActive: true, inflights }));
  }

  #makeVoter(id: MemberId): void {
    this.track(id, false);
    this.progress.get(id)!.learner = false;
    this.learners.delete(id);
    this.learnersNext.delete(id);
    this.incoming.add(id);
  }

  #makeLearner(id: MemberId): void {
    this.track(id, true);
    if (this.learners.has(id)) return;
    this.incoming.delete(id);
    // A voter of the outgoing half goes on voting until the joint configuration is left.
    if (this.outgoing.has(id)) {
      this.learnersNext.add(id);
    } else {
      this.progress.get(id)!.learner = true;
      this.learners.add(id);
    }
  }

  #remove(id: MemberId): void {
    this.incoming.delete(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
    if (!this.outgoing.has(id)) this.progress.delete(id);
  }
}

function refused(reason: string): ChangeResult {
  return { ok: false, reason };
}

/** Ids in one of the sets and not in the other. */
function differences(before: readonly MemberId[], after: ReadonlySet<MemberId>): number {
  let common = 0;
  for (const id of before) if (after.has(id)) common++;
  return before.length - common + after.size - common;
}
