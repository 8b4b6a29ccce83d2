/**
 * What must hold in a Raft group whatever happens, checked against a record that only ever grows: who led which term, who voted for
 * whom, which entry is at which place in any log, what is committed, which configuration each index leads to. A contradiction throws.
 *
 *   R1 one leader per term          R2 a leader only appends         R3 log matching
 *   R4 a leader has all committed   R5 same entries applied          R6 durable term and vote never change back
 *   R7 committed = on a quorum      R8 one change at a time, neighbouring configurations share a majority
 */
import type { ConfState, Entry, HardState, Message } from '@quorate/proto';
import type { Raft } from '../raft.ts';
import { EntryType, MessageType, Role } from '../types.ts';

/** What the ledger needs to see of a member. */
export interface Witness {
  readonly id: bigint;
  readonly core: Raft;
  /** Term of the durable entry at `index`; undefined when the disk does not have it. */
  durableTerm(index: number): number | undefined;
  /** Last index on disk, snapshot included. */
  durableLast(): number;
  /** Hard state that survives a power loss. */
  durableHardState(): HardState;
}

interface Committed {
  readonly term: number;
  readonly content: string;
  /** Term of the leader that committed it. */
  readonly committedIn: number;
}

export class ChaosLedger {
  readonly #leaders = new Map<number, bigint>();
  readonly #leaderLast = new Map<string, number>();
  readonly #votes = new Map<string, bigint>();
  readonly #entries = new Map<string, { readonly content: string; readonly previousTerm: number | undefined }>();
  readonly #committed = new Map<number, Committed>();
  readonly #confStates = new Map<number, ConfState>();
  #committedTo: number;

  /** `start`: index of the snapshot everyone begins with. */
  constructor(start: number, confState: ConfState) {
    this.#committedTo = start;
    this.#confStates.set(start, confState);
  }

  /** Highest index any member knows to be committed. */
  get committedTo(): number {
    return this.#committedTo;
  }

  /** Terms that had a leader. */
  get leaders(): number {
    return this.#leaders.size;
  }

  /** Configuration changes applied. */
  get changes(): number {
    return this.#confStates.size - 1;
  }

  // ── after every step of a member ───────────────────────────────────────────────────────────────────────────────────────────

  /** Checks roles and commit index of a member that just did something; `before` is its commit index before that. */
  observe(member: Witness, before: number, members: readonly Witness[]): void {
    const { core } = member;
    if (core.role === Role.leader) this.#observeLeader(member);
    const { committed } = core.log;
    must(committed >= before, 'R6: the commit index moved back', member, { committed, before });
    if (committed > before) this.#observeCommit(member, before, members);
  }

  #observeLeader(member: Witness): void {
    const { id, core } = member;
    const { term, log } = core;
    const known = this.#leaders.get(term);
    if (known === undefined) {
      this.#leaders.set(term, id);
      this.#checkCompleteness(member);
    } else {
      must(known === id, 'R1: two leaders in one term', member, { term, known });
    }
    const key = `${term}`;
    const last = log.lastIndex();
    must(last >= (this.#leaderLast.get(key) ?? 0), 'R2: a leader cut its log', member, { term, last });
    this.#leaderLast.set(key, last);
    must(countChanges(core) <= 1, 'R8: two configuration changes under way', member, { applied: log.applied });
  }

  /** Holds for what leaders of former terms committed: one elected late, in a term that is over, is no danger. */
  #checkCompleteness(member: Witness): void {
    const { log, term } = member.core;
    for (let index = log.firstIndex(); index <= this.#committedTo; index++) {
      const committed = this.#committed.get(index);
      if (committed === undefined || committed.committedIn > term) continue;
      const found = log.term(index);
      must(found === committed.term, 'R4: a leader lacks a committed entry', member, { index, found });
    }
  }

  #observeCommit(member: Witness, before: number, members: readonly Witness[]): void {
    const { log, term } = member.core;
    const { committed } = log;
    const from = Math.max(before + 1, log.firstIndex());
    for (const entry of log.slice(from, committed + 1, Number.POSITIVE_INFINITY)) this.#commit(member, entry);
    if (committed <= this.#committedTo) return;
    // Only the leader of the term can be first to know.
    must(this.#leaders.get(term) === member.id, 'R7: a follower knew of a commit first', member, { committed });
    this.#checkQuorum(member, members);
    this.#committedTo = committed;
  }

  #commit(member: Witness, entry: Entry): void {
    const content = contentOf(entry);
    const known = this.#committed.get(entry.index);
    if (known === undefined) {
      this.#committed.set(entry.index, { term: entry.term, content, committedIn: member.core.term });
      return;
    }
    must(known.term === entry.term, 'R5: different terms committed', member, { index: entry.index, term: entry.term });
    must(known.content === content, 'R5: different entries committed', member, { index: entry.index });
  }

  #checkQuorum(member: Witness, members: readonly Witness[]): void {
    const { log, tracker } = member.core;
    const index = log.committed;
    const term = log.term(index);
    const holds = (id: bigint): boolean => {
      const other = members.find((candidate) => candidate.id === id);
      if (other === undefined) return false;
      // A snapshot at or behind the index includes it.
      const found = other.durableTerm(index);
      return found === term || (found === undefined && other.durableLast() >= index);
    };
    const { incoming, outgoing } = tracker.membership.voters;
    for (const voters of [incoming, outgoing]) {
      const count = voters.filter(holds).length;
      const enough = voters.length === 0 || count > voters.length / 2;
      must(enough, 'R7: committed without a durable quorum', member, { index, count, of: voters.length });
    }
  }

  // ── disk, network, application ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Entries a member is about to write. */
  written(member: Witness, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const key = `${entry.term}/${entry.index}`;
      const previousTerm = member.core.log.term(entry.index - 1);
      const content = contentOf(entry);
      const known = this.#entries.get(key);
      if (known === undefined) {
        this.#entries.set(key, { content, previousTerm });
        continue;
      }
      must(known.content === content, 'R3: two entries of one term at one index', member, { index: entry.index });
      const same =
        known.previousTerm === previousTerm || known.previousTerm === undefined || previousTerm === undefined;
      must(same, 'R3: equal entries behind different ones', member, { index: entry.index });
    }
  }

  /** A member's durable hard state moved. */
  hardStateSaved(member: Witness, previous: HardState, next: HardState): void {
    must(next.term >= previous.term, 'R6: the durable term moved back', member, { term: next.term });
    if (next.vote === 0n) return;
    const key = `${member.id}/${next.term}`;
    const known = this.#votes.get(key);
    must(known === undefined || known === next.vote, 'R6: two votes in one term', member, { term: next.term });
    this.#votes.set(key, next.vote);
  }

  /** A message leaves for the network: what it promises must be durable. */
  sent(member: Witness, message: Message): void {
    if (message.reject) return;
    const { term, vote } = member.durableHardState();
    if (message.type === MessageType.MSG_VOTE_RESP) {
      const kept = term > message.term || (term === message.term && vote === message.to);
      must(kept, 'R6: a vote left before it was durable', member, { term: message.term });
    }
    if (message.type === MessageType.MSG_APP_RESP) {
      must(term >= message.term, 'R6: an answer left before its term was durable', member, { term: message.term });
      // A leader of a later term may have cut the log meanwhile. Its election proves that too few acknowledged what it cut.
      const kept = term > message.term || member.durableLast() >= message.index;
      must(kept, 'R7: an acknowledged entry is not durable', member, { index: message.index });
    }
  }

  /** A member applied an entry; `confState` is the configuration that resulted from a change. */
  applied(member: Witness, entry: Entry, confState: ConfState | undefined): void {
    const known = this.#committed.get(entry.index);
    must(known !== undefined, 'R5: applied what is not committed', member, { index: entry.index });
    must(known?.content === contentOf(entry), 'R5: applied another entry', member, { index: entry.index });
    if (confState !== undefined) this.#configured(member, entry.index, confState);
  }

  #configured(member: Witness, index: number, confState: ConfState): void {
    const known = this.#confStates.get(index);
    if (known !== undefined) {
      must(confText(known) === confText(confState), 'R8: one change, two configurations', member, { index });
      return;
    }
    const previousIndex = Math.max(...[...this.#confStates.keys()].filter((at) => at < index));
    const previous = this.#confStates.get(previousIndex)!;
    this.#confStates.set(index, confState);
    must(adjacent(previous, confState), 'R8: neighbouring configurations need not meet', member, { index });
  }
}

/** Throws when `holds` is false. */
export function must(holds: boolean, rule: string, member: { readonly id: bigint }, facts: object = {}): void {
  if (!holds) throw new Error(`${rule} (member ${member.id}, ${Object.entries(facts).join(' ')})`);
}

function contentOf(entry: Entry): string {
  return `${entry.type}:${entry.data.toString('latin1')}`;
}

function countChanges(core: Raft): number {
  const { log } = core;
  const tail = log.slice(Math.max(log.applied + 1, log.firstIndex()), log.lastIndex() + 1, Number.POSITIVE_INFINITY);
  return tail.filter((entry) => entry.type !== EntryType.ENTRY_NORMAL).length;
}

function confText(state: ConfState): string {
  return [state.voters, state.votersOutgoing, state.learners, state.learnersNext, [state.autoLeave]].join('|');
}

/** Whether every quorum of one shares a member with every quorum of the other. */
function adjacent(before: ConfState, after: ConfState): boolean {
  const same = (a: readonly bigint[], b: readonly bigint[]): boolean => a.join() === b.join();
  if (after.votersOutgoing.length > 0) {
    return before.votersOutgoing.length === 0 && same(before.voters, after.votersOutgoing);
  }
  if (before.votersOutgoing.length > 0) return same(before.voters, after.voters);
  const gone = before.voters.filter((id) => !after.voters.includes(id)).length;
  const come = after.voters.filter((id) => !before.voters.includes(id)).length;
  return gone + come <= 1;
}
