/** Scripts about configuration arithmetic: each command changes the configuration that the one before left. */
import { type ChangeBase, type ChangeResult, enterJoint, leaveJoint, simpleChange } from '../confchange.ts';
import { sortedIds } from '../quorum.ts';
import { emptyMembership, type Membership, type ProgressMap } from '../tracker.ts';
import { parseChanges } from './conf-change-text.ts';
import { argValue, type Directive, type ScriptHandler } from './datadriven.ts';
import { describeMembership, describeProgress } from './describe.ts';

/** A fresh configuration and the handler that changes it. */
export function confchangeScript(): ScriptHandler {
  let membership: Membership = emptyMembership;
  let progress: ProgressMap = new Map();
  let lastIndex = 0;
  return (directive) => {
    const inflightLimits = { countMax: 10, bytesMax: Number.POSITIVE_INFINITY };
    const result = run(directive, { membership, progress, lastIndex, inflightLimits });
    lastIndex++;
    if (!result.ok) return `${result.reason}\n`;
    membership = result.membership;
    progress = result.progress;
    const members = sortedIds(progress.keys()).map((id) => `${id}: ${describeProgress(progress.get(id)!.view())}\n`);
    return `${describeMembership(membership)}\n${members.join('')}`;
  };
}

function run(directive: Directive, base: ChangeBase): ChangeResult {
  const changes = parseChanges(directive.input);
  switch (directive.command) {
    case 'simple':
      return simpleChange(base, changes);
    case 'enter-joint':
      return enterJoint(base, changes, argValue(directive, 'autoleave') === 'true');
    case 'leave-joint':
      return leaveJoint(base);
    default:
      throw new Error(`unknown command ${directive.command}`);
  }
}
