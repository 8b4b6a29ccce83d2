/** How scripts print what the core deals in. */
import type { ConfState, Entry, HardState, Message, Snapshot } from '@quorate/proto';
import type { ProgressState, ProgressView } from '../progress.ts';
import type { Ready } from '../ready.ts';
import { snapshotIndex } from '../storage.ts';
import type { Membership } from '../tracker.ts';
import { EntryType, localAppendThread, localApplyThread, MessageType, type Role } from '../types.ts';
import { changesToText, decodeTextChange } from './conf-change-text.ts';

const roleNames: Record<Role, string> = {
  0: 'StateFollower',
  1: 'StateCandidate',
  2: 'StateLeader',
  3: 'StatePreCandidate',
};
const progressNames: Record<ProgressState, string> = { 0: 'StateProbe', 1: 'StateReplicate', 2: 'StateSnapshot' };
const entryNames: Record<number, string> = {
  [EntryType.ENTRY_NORMAL]: 'EntryNormal',
  [EntryType.ENTRY_CONF_CHANGE]: 'EntryConfChange',
  [EntryType.ENTRY_CONF_CHANGE_V2]: 'EntryConfChangeV2',
};

export function describeRole(role: Role): string {
  return roleNames[role];
}

/** MSG_APP_RESP as MsgAppResp. */
export function describeMessageType(type: number): string {
  const name = Object.entries(MessageType).find(([, value]) => value === type)?.[0] ?? `MSG_UNKNOWN_${type}`;
  return name
    .split('_')
    .map((word) => word[0] + word.slice(1).toLowerCase())
    .join('');
}

export function describeEntry(entry: Entry): string {
  const head = `${entry.term}/${entry.index} ${entryNames[entry.type]}`;
  if (entry.type === EntryType.ENTRY_NORMAL) return `${head} ${JSON.stringify(entry.data.toString())}`;
  const changes = changesToText(decodeTextChange(entry));
  return changes === '' ? head : `${head} ${changes}`;
}

export function describeEntries(entries: readonly Entry[]): string {
  return entries.map((entry) => `${describeEntry(entry)}\n`).join('');
}

export function describeMessage(message: Message, indent = ''): string {
  const { from, to, type, term, logTerm, index, entries, snapshot, responses } = message;
  let text = `${indent}${target(from)}->${target(to)} ${describeMessageType(type)} Term:${term} Log:${logTerm}/${index}`;
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`;
  if (message.commit !== 0) text += ` Commit:${message.commit}`;
  if (message.vote !== 0n) text += ` Vote:${message.vote}`;
  if (entries.length === 1) text += ` Entries:[${describeEntry(entries[0]!)}]`;
  if (entries.length > 1) {
    text += ` Entries:[${entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`).join('')}\n${indent}]`;
  }
  if (snapshotIndex(snapshot) > 0) text += `\n${indent}  Snapshot: ${describeSnapshot(snapshot!)}`;
  if (responses.length > 0) {
    text += ` Responses:[${responses.map((each) => `\n${describeMessage(each, `${indent}  `)}`).join('')}\n${indent}]`;
  }
  return text;
}

function target(id: bigint): string {
  if (id === localAppendThread) return 'AppendThread';
  return id === localApplyThread ? 'ApplyThread' : String(id);
}

export function describeSnapshot(snapshot: Snapshot): string {
  const { index, term, confState } = snapshot.metadata!;
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState!)}`;
}

function describeConfState(state: ConfState): string {
  const list = (ids: readonly bigint[]): string => `[${ids.join(' ')}]`;
  return [
    `Voters:${list(state.voters)}`,
    `VotersOutgoing:${list(state.votersOutgoing)}`,
    `Learners:${list(state.learners)}`,
    `LearnersNext:${list(state.learnersNext)}`,
    `AutoLeave:${state.autoLeave}`,
  ].join(' ');
}

function describeHardState(state: HardState): string {
  return `Term:${state.term}${state.vote === 0n ? '' : ` Vote:${state.vote}`} Commit:${state.commit}`;
}

export function describeReady(ready: Ready): string {
  let text = '';
  if (ready.softState !== undefined) {
    text += `Lead:${ready.softState.leader} State:${describeRole(ready.softState.role)}\n`;
  }
  if (ready.hardState !== undefined) text += `HardState ${describeHardState(ready.hardState)}\n`;
  for (const state of ready.readStates) text += `ReadState ${state.requestContext.toString()} at ${state.index}\n`;
  if (ready.entries.length > 0) text += `Entries:\n${describeEntries(ready.entries)}`;
  if (ready.snapshot !== undefined) text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`;
  if (ready.committedEntries.length > 0) text += `CommittedEntries:\n${describeEntries(ready.committedEntries)}`;
  if (ready.messages.length > 0) {
    text += `Messages:\n${ready.messages.map((message) => `${describeMessage(message)}\n`).join('')}`;
  }
  return text === '' ? '<empty Ready>\n' : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

export function describeProgress(view: ProgressView): string {
  let text = `${progressNames[view.state]} match=${view.match} next=${view.next}`;
  if (view.learner) text += ' learner';
  if (view.paused) text += ' paused';
  if (view.pendingSnapshot > 0) text += ` pendingSnap=${view.pendingSnapshot}`;
  if (!view.recentActive) text += ' inactive';
  if (view.inflight > 0) text += ` inflight=${view.inflight}${view.inflightFull ? '[full]' : ''}`;
  return text;
}

export function describeMembership(membership: Membership): string {
  const { voters, learners, learnersNext, autoLeave } = membership;
  const list = (ids: readonly bigint[]): string => `(${ids.join(' ')})`;
  let text = `voters=${list(voters.incoming)}`;
  if (voters.outgoing.length > 0) text += `&&${list(voters.outgoing)}`;
  if (learners.length > 0) text += ` learners=${list(learners)}`;
  if (learnersNext.length > 0) text += ` learners_next=${list(learnersNext)}`;
  return autoLeave ? `${text} autoleave` : text;
}
