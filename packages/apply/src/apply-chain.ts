/** The appliers around each other, in etcd's order: CORRUPT outside NOSPACE outside the state, and the time of it all outermost. */
import type { Clock, Meter } from '@quorate/base';
import type { Applier } from './applier.ts';
import { BackendApplier, type ReplicatedState } from './backend-applier.ts';
import { CorruptApplier, NoSpaceApplier } from './guards.ts';
import { MeteredApplier } from './metered-applier.ts';

/** The chain that applies requests to `state`; `clock` and `meter` only tell how long that took. */
export function buildApplyChain(state: ReplicatedState, clock: Clock, meter: Meter): Applier {
  const { alarms } = state;
  const guarded = new CorruptApplier(new NoSpaceApplier(new BackendApplier(state), alarms), alarms);
  return new MeteredApplier(guarded, clock, meter);
}
