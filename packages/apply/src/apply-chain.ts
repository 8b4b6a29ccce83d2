/** The appliers around each other, in etcd's order: CORRUPT outside NOSPACE outside the state. */
import type { Applier } from './applier.ts';
import { BackendApplier, type ReplicatedState } from './backend-applier.ts';
import { CorruptApplier, NoSpaceApplier } from './guards.ts';

/** The chain that applies requests to `state`. */
export function buildApplyChain(state: ReplicatedState): Applier {
  const { alarms } = state;
  return new CorruptApplier(new NoSpaceApplier(new BackendApplier(state), alarms), alarms);
}
