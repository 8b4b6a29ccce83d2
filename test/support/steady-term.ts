/** That somebody who is no member of a cluster raises nobody's term, on a machine that is busy enough for elections of its own. */
import { expect } from 'vitest';
import type { ChangingCluster } from './changing-cluster.ts';
import type { KvdProcess } from './kvd-process.ts';

/** What makes members log their elections, which this is told from. */
export const logsElections: readonly string[] = ['--log-level', 'info'];

/** A member that hears no leader for an election timeout says this before anything else, and then begins a term if others agree. */
const missedLeader = 'became pre-candidate';
const began = 'became candidate';
/** Members that get no processor for a second elect by themselves. A stranger that disturbs does so each time. */
const rounds = 5;

/**
 * Runs `round`, in which `strangers` come and go, until no member missed its leader meanwhile, at most five times. No stranger may
 * begin a term in any round, and in the last one the term and the leader stay. All run with {@link logsElections}.
 */
export async function keepsTerm(
  cluster: ChangingCluster,
  strangers: readonly KvdProcess[],
  round: () => Promise<void>,
): Promise<void> {
  const members = [...cluster.members.values()];
  expect(members.map(logOf).join('')).toContain(began);
  for (let left = rounds - 1; ; left--) {
    const leader = await cluster.leader();
    const { raftTerm } = await cluster.statusOf(leader);
    const [before, strangersBefore] = [members.map(logOf), strangers.map(logOf)];
    await round();
    expect(since(strangersBefore, strangers)).not.toContain(began);
    const nowLeads = await cluster.leader();
    const now = await cluster.statusOf(nowLeads);
    if (left > 0 && since(before, members).includes(missedLeader)) continue;
    expect(now.raftTerm).toBe(raftTerm);
    expect(nowLeads.options.name).toBe(leader.options.name);
    return;
  }
}

function logOf(member: KvdProcess): string {
  return member.log();
}

/** What they logged since they had logged `before`. */
function since(before: readonly string[], members: readonly KvdProcess[]): string {
  return members.map((member, i) => member.log().slice(before[i]!.length)).join('');
}
