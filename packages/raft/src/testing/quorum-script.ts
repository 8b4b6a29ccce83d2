/** Scripts about quorum arithmetic: what a set of voters, or two, has committed or decided, with a drawing of it. */
import type { AckIndexer, JointVoters } from '../quorum.ts';
import {
  jointCommitted,
  jointIds,
  jointVote,
  majorityCommitted,
  majorityVote,
  sortedIds,
  VoteResult,
} from '../quorum.ts';
import type { Directive, ScriptHandler } from './datadriven.ts';

const resultNames: Record<VoteResult, string> = {
  [VoteResult.pending]: 'VotePending',
  [VoteResult.lost]: 'VoteLost',
  [VoteResult.won]: 'VoteWon',
};

export const quorumScript: ScriptHandler = (directive) => {
  const joint = directive.args.some((arg) => arg.key === 'cfgj');
  const incoming = idsIn(directive, 'cfg');
  const outgoing = idsIn(directive, 'cfgj');
  const voters: JointVoters = { incoming: sortedIds(incoming), outgoing: sortedIds(outgoing) };
  // Values are given in the order in which ids are named first.
  const order = [...new Set([...incoming, ...outgoing])];
  if (directive.command === 'vote') {
    const votes = new Map(valuesIn(directive, 'votes').flatMap((v, i) => (v === '_' ? [] : [[order[i]!, v === 'y']])));
    const result = joint ? jointVote(voters, votes) : majorityVote(voters.incoming, votes);
    return `${resultNames[result]}\n`;
  }
  const known = new Map(valuesIn(directive, 'idx').flatMap((v, i) => (v === '_' ? [] : [[order[i]!, Number(v)]])));
  const acks: AckIndexer = { ackedIndex: (id) => known.get(id) };
  const committed = joint ? jointCommitted(voters, acks) : majorityCommitted(voters.incoming, acks);
  const number = committed === Number.POSITIVE_INFINITY ? '∞' : String(committed);
  return `${drawing(jointIds(voters), acks)}${number}\n`;
};

function valuesIn(directive: Directive, key: string): readonly string[] {
  return directive.args.find((arg) => arg.key === key)?.values ?? [];
}

function idsIn(directive: Directive, key: string): bigint[] {
  return valuesIn(directive, key).flatMap((value) => (value === 'zero' || value === '' ? [] : [BigInt(value)]));
}

/** One bar per voter, longer the more of the others it is ahead of. */
function drawing(ids: readonly bigint[], acks: AckIndexer): string {
  if (ids.length === 0) return '<empty majority quorum>';
  const indexOf = (id: bigint): number => acks.ackedIndex(id) ?? 0;
  const lines = ids.map((id) => {
    const known = acks.ackedIndex(id) !== undefined;
    const behind = ids.filter((other) => indexOf(other) < indexOf(id)).length;
    const bar = known ? `${'x'.repeat(behind)}>${' '.repeat(ids.length - behind)}` : `?${' '.repeat(ids.length)}`;
    return `${bar} ${String(indexOf(id)).padStart(5)}    (id=${id})\n`;
  });
  return `${' '.repeat(ids.length)}    idx\n${lines.join('')}`;
}
