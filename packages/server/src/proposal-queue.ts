/**
 * What waits to be handed to raft: requests of this member's callers, requests that followers forwarded to it as the leader, and
 * changes of configuration. All requests of a turn make one append.
 */
import type { MemberId } from '@quorate/base';
import { EntryType, type Message, MessageType } from '@quorate/proto';
import { type RawNode, Role } from '@quorate/raft';
import type { PeerTransport } from './peer-transport.ts';
import type { Proposal } from './proposals.ts';

export interface ProposalQueueOptions {
  readonly memberId: MemberId;
  readonly rawNode: RawNode;
  readonly peers: Pick<PeerTransport, 'connectedSinceMs'>;
  /** Raft does not let this change of configuration into the log: it does not fit the configuration in force. */
  readonly changeRefused: (proposal: Proposal) => void;
  /** How many of so many requests this member, as the leader, should append first; the rest goes with the next turn. */
  readonly firstOf: (count: number) => number;
}

export class ProposalQueue {
  readonly #options: ProposalQueueOptions;
  #own: Proposal[] = [];
  /** Of this turn. */
  #forwarded: Buffer[] = [];
  /** Changes of configuration not yet proposed, and the one whose answer is awaited: one goes at a time. */
  #changes: Proposal[] = [];
  #changeUnderWay: Proposal | undefined;
  #hasMore = false;

  constructor(options: ProposalQueueOptions) {
    this.#options = options;
  }

  add(proposal: Proposal): void {
    if (proposal.change === undefined) this.#own.push(proposal);
    else this.#changes.push(proposal);
  }

  /**
   * Takes requests that a follower forwarded to this leader, which go with those of its own callers: by itself each message would
   * make an append. False for everything else, changes of configuration too: that is raft's.
   */
  takeForwarded({ type, to, entries }: Message): boolean {
    const { memberId, rawNode } = this.#options;
    if (type !== MessageType.MSG_PROP || to !== memberId || rawNode.role !== Role.leader) return false;
    if (entries.some((entry) => entry.type !== EntryType.ENTRY_NORMAL)) return false;
    for (const entry of entries) this.#forwarded.push(entry.data);
    return true;
  }

  /** Requests wait that raft would have taken: another turn is due. */
  get hasMore(): boolean {
    return this.#hasMore;
  }

  /** Hands everything to raft that it takes now. */
  propose(): void {
    this.#proposeRequests();
    this.#proposeChange();
  }

  /**
   * What raft refuses (no leader, a transfer) and what could not be forwarded to the leader now stays for later turns, while its
   * caller waits: a tick is never far. What others forwarded is lost then, as on a broken stream.
   */
  #proposeRequests(): void {
    const batch = this.#forwarded;
    this.#hasMore = false;
    if (this.#own.length === 0 && batch.length === 0) return;
    this.#forwarded = [];
    const waiting = this.#own.filter((proposal) => proposal.waiting);
    const { rawNode, firstOf } = this.#options;
    const count = rawNode.role === Role.leader ? firstOf(waiting.length) : waiting.length;
    for (let i = 0; i < count; i++) batch.push(waiting[i]!.data);
    const accepted = batch.length > 0 && this.#reachesLeader() && rawNode.proposeBatch(batch);
    this.#own = accepted ? waiting.slice(count) : waiting;
    this.#hasMore = accepted && this.#own.length > 0;
  }

  /**
   * One change of configuration at a time: raft takes no second one before the first is applied, and a leader that is sent one all
   * the same drops it without a word.
   */
  #proposeChange(): void {
    if (this.#changeUnderWay?.waiting === true || this.#changes.length === 0) return;
    const { rawNode, changeRefused } = this.#options;
    this.#changes = this.#changes.filter((proposal) => proposal.waiting);
    const [next] = this.#changes;
    if (next?.change === undefined || !this.#reachesLeader() || !rawNode.mayChangeConfiguration) return;
    const result = rawNode.proposeConfChange(next.change);
    if (result === 'dropped') return;
    this.#changes.shift();
    if (result === 'refused') changeRefused(next);
    else this.#changeUnderWay = next;
  }

  /** A proposal forwarded on no stream is lost, and cannot be sent again: whether it was lost is not known to raft. */
  #reachesLeader(): boolean {
    const { rawNode, memberId, peers } = this.#options;
    return rawNode.leader === memberId || peers.connectedSinceMs(rawNode.leader) !== undefined;
  }
}
