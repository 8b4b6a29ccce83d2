/**
 * Who is in the cluster, and how that changes: the Cluster service without its transport. A change goes through the log as an entry
 * of its own kind, one at a time; it is judged here by what this member sees (cluster-rules.ts) and by every member when it is
 * applied (package apply), and answered when it was applied here.
 *
 * Before a change is judged this member makes sure of a leader that can take it: the confirmation of a linearizable read means that
 * the leader has committed in its term, and that what is known here of the members is up to date.
 */
import type { ApplyResult } from '@quorate/apply';
import { type Clock, type Counter, formatId, type Logger, type MemberId, type Meter, noMember } from '@quorate/base';
import {
  ConfChangeType,
  KvError,
  kvErrorCodeOf,
  Member,
  type MemberAddRequest,
  MemberAddResponse,
  type MemberListRequest,
  MemberListResponse,
  type MemberPromoteRequest,
  MemberPromoteResponse,
  type MemberRecord,
  type MemberRemoveRequest,
  MemberRemoveResponse,
  type MemberUpdateRequest,
  MemberUpdateResponse,
  PromoteAnswer,
} from '@quorate/proto';
import type { Reply } from '@quorate/rpc';
import { type ClusterView, checkAddVoter, checkLearnerReady, checkPromote, checkRemove } from './cluster-rules.ts';
import type { HeaderSource } from './header.ts';
import { computeAddedMemberId } from './identity.ts';
import type { Leadership } from './leadership.ts';
import type { PeerTransport } from './peer-transport.ts';
import { checkedPeerUrls } from './peer-urls.ts';
import type { Proposals } from './proposals.ts';
import type { ReadIndex } from './read-index.ts';
import type { StateMachine } from './state-machine.ts';

export interface ClusterServerOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly headers: HeaderSource;
  readonly leadership: Leadership;
  readonly proposals: Proposals;
  readonly reads: ReadIndex;
  readonly state: () => StateMachine;
  readonly peers: Pick<PeerTransport, 'connectedSinceMs' | 'askPromote'>;
  /** Highest index a leader knows to be on the disk of `id`; undefined on others, and for strangers. */
  readonly matchOf: (id: MemberId) => number | undefined;
  /** Has leadership moved away from `id`, if it leads; resolves when that is done, or did not work. */
  readonly moveLeadershipFrom: (id: MemberId) => Promise<void>;
  /** `--strict-reconfig-check` */
  readonly strictReconfigCheck: boolean;
  /** `--max-learners` */
  readonly maxLearners: number;
  /** Milliseconds a request may take. */
  readonly timeoutMs: number;
}

/** Pause before a leader that could not be asked is asked again, in milliseconds. */
const askAgainMs = 50;

export class ClusterServer {
  readonly #options: ClusterServerOptions;
  readonly #promoted: Counter;

  constructor(options: ClusterServerOptions) {
    this.#options = options;
    this.#promoted = options.meter.counter({
      name: 'etcd_server_learner_promote_successes',
      help: 'The total number of successful learner promotions while this member is leader.',
    });
  }

  /** Linearizable when asked (clients since 3.5 do), else what this member knows. The header has no revision, as in etcd. */
  memberList(request: MemberListRequest, reply: Reply<MemberListResponse>): void {
    const { reads } = this.#options;
    if (!request.linearizable) {
      this.#answerList(reply);
      return;
    }
    reads.confirm((error) => {
      if (error === undefined) this.#answerList(reply);
      else reply.fail(error);
    });
  }

  /**
   * Adds a voter, or a learner. Rejects with KvError memberBadUrls, peerUrlExist, memberExist, tooManyLearners, notEnoughStarted,
   * unhealthy, and with the time-outs of proposals.
   */
  async memberAdd({ peerURLs, isLearner }: MemberAddRequest): Promise<MemberAddResponse> {
    const peerUrls = checkedPeerUrls(peerURLs);
    await this.#confirmed();
    const { strictReconfigCheck, maxLearners } = this.#options;
    if (isLearner && this.#members().filter((member) => member.isLearner).length >= maxLearners) {
      throw new KvError('tooManyLearners');
    }
    if (strictReconfigCheck && !isLearner) this.#judged('add', () => checkAddVoter(this.#view()));
    const id = this.#newId(peerUrls);
    const type = isLearner ? ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE : ConfChangeType.CONF_CHANGE_ADD_NODE;
    const members = await this.#change(type, { id, peerUrls, isLearner, learnersMax: isLearner ? maxLearners : 0 });
    const member = Member.create({ id, peerURLs: peerUrls, isLearner });
    return MemberAddResponse.create({ header: this.#options.headers.header(0), member, members });
  }

  /**
   * Removes a member for good: its id never comes back. A leader hands leadership over first. Answered when this member will know
   * of it after any crash. Rejects with KvError memberNotFound,
   * notEnoughStarted (also for the last voter), unhealthy, and with the time-outs of proposals.
   */
  async memberRemove({ id }: MemberRemoveRequest): Promise<MemberRemoveResponse> {
    await this.#confirmed();
    const { strictReconfigCheck, moveLeadershipFrom, leadership, headers, state } = this.#options;
    // Said before leadership moves for nothing; raft itself would take the last voter's removal for no change at all.
    state().members.check({ kind: 'remove', id });
    if (strictReconfigCheck) this.#judged('remove', () => checkRemove(this.#view(), id));
    if (leadership.leader === id) {
      await moveLeadershipFrom(id);
      await this.#confirmed();
    }
    const members = await this.#change(ConfChangeType.CONF_CHANGE_REMOVE_NODE, { id });
    // Whoever is told so may throw the member's disk away, and with it a vote.
    await state().commits.commitDurably();
    return MemberRemoveResponse.create({ header: headers.header(0), members });
  }

  /** Gives a member other peer URLs. Rejects with KvError memberBadUrls, memberNotFound, peerUrlExist, and with time-outs. */
  async memberUpdate({ id, peerURLs }: MemberUpdateRequest): Promise<MemberUpdateResponse> {
    const peerUrls = checkedPeerUrls(peerURLs);
    await this.#confirmed();
    const members = await this.#change(ConfChangeType.CONF_CHANGE_UPDATE_NODE, { id, peerUrls });
    return MemberUpdateResponse.create({ header: this.#options.headers.header(0), members });
  }

  /**
   * Makes a learner a voter; the leader decides, wherever it is asked. Rejects with KvError memberNotFound, memberNotLearner,
   * learnerNotReady, notEnoughStarted, and with time-outs.
   */
  async memberPromote({ id }: MemberPromoteRequest): Promise<MemberPromoteResponse> {
    const { clock, timeoutMs, leadership, memberId, headers } = this.#options;
    const startedMs = clock.nowMs();
    while (clock.nowMs() - startedMs < timeoutMs) {
      const { leader } = leadership;
      const answer = leader === memberId ? await this.promoteHere(id) : await this.#askLeader(leader, id);
      if (answer === undefined || answer.notLeader) {
        await new Promise<void>((resolve) => clock.after(askAgainMs, resolve));
        continue;
      }
      if (answer.error !== '') throw refusalOf(answer.error);
      const members = answer.members.map(({ peerUrls, clientUrls, ...rest }) =>
        Member.create({ ...rest, peerURLs: peerUrls, clientURLs: clientUrls }),
      );
      return MemberPromoteResponse.create({ header: headers.header(0), members });
    }
    throw leadership.timeoutError(startedMs);
  }

  /** Promotes when this member leads; asked by others for their callers. */
  async promoteHere(id: MemberId): Promise<PromoteAnswer> {
    const { leadership, memberId, state } = this.#options;
    if (leadership.leader !== memberId) return PromoteAnswer.create({ notLeader: true });
    try {
      await this.#promote(id);
      this.#promoted.add();
      return PromoteAnswer.create({ members: state().members.records() });
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      if (error.code === 'notLeader') return PromoteAnswer.create({ notLeader: true });
      this.#countFailure(error.message);
      return PromoteAnswer.create({ error: error.message });
    }
  }

  async #promote(id: MemberId): Promise<void> {
    await this.#confirmed();
    const { matchOf, memberId, strictReconfigCheck } = this.#options;
    const leader = matchOf(memberId);
    if (leader === undefined) throw new KvError('notLeader');
    const learner = matchOf(id);
    if (learner === undefined) throw new KvError('memberNotFound');
    checkLearnerReady({ learner, leader });
    const isLearner = this.#members().find((member) => member.id === id)?.isLearner === true;
    if (strictReconfigCheck && isLearner) this.#judged('promote', () => checkPromote(this.#view()));
    await this.#change(ConfChangeType.CONF_CHANGE_ADD_NODE, { id, isPromote: true });
  }

  /** The leader's answer; undefined when it could not be asked. */
  async #askLeader(leader: MemberId, id: MemberId): Promise<PromoteAnswer | undefined> {
    if (leader === noMember) return undefined;
    const { peers, timeoutMs, logger } = this.#options;
    try {
      return await peers.askPromote(leader, id, timeoutMs);
    } catch (error) {
      logger.debug('could not ask the leader to promote a learner', {
        leader: formatId(leader),
        reason: String(error),
      });
      return undefined;
    }
  }

  #countFailure(reason: string): void {
    this.#options.meter
      .counter({
        name: 'etcd_server_learner_promote_failures',
        help: 'The total number of failed learner promotions (likely learner not ready) while this member is leader.',
        labels: { Reason: reason },
      })
      .add();
  }

  /** Resolves with the members after the change, as they are when it was applied here. */
  #change(type: number, record: Partial<MemberRecord> & { readonly id: MemberId }): Promise<Member[]> {
    return new Promise((resolve, reject) => {
      this.#options.proposals.proposeChange(type, record, (outcome: ApplyResult) => {
        if (outcome instanceof KvError) reject(outcome);
        else resolve(this.#members());
      });
    });
  }

  /** As etcd makes it from addresses and time; the next second's when that one is taken, as by a member just removed. */
  #newId(peerUrls: readonly string[]): MemberId {
    const { members } = this.#options.state();
    let unixSeconds = Math.floor(this.#options.clock.wallMs() / 1_000);
    for (;;) {
      const id = computeAddedMemberId(peerUrls, unixSeconds);
      if (id !== noMember && members.get(id) === undefined && !members.wasRemoved(id)) return id;
      unixSeconds++;
    }
  }

  #judged(what: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#options.logger.warn('refused a change of members', { change: what, reason: String(error) });
      throw error;
    }
  }

  #view(): ClusterView {
    const { memberId, clock, peers } = this.#options;
    const connectedForMs = (id: MemberId): number | undefined => {
      const sinceMs = peers.connectedSinceMs(id);
      return sinceMs === undefined ? undefined : clock.nowMs() - sinceMs;
    };
    return { self: memberId, members: this.#members(), connectedForMs };
  }

  #members(): Member[] {
    return this.#options.state().members.list();
  }

  #confirmed(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#options.reads.confirm((error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  #answerList(reply: Reply<MemberListResponse>): void {
    try {
      const { headers } = this.#options;
      reply.ok(MemberListResponse.create({ header: headers.header(0), members: this.#members() }));
    } catch (error) {
      reply.fail(error);
    }
  }
}

/** The leader's refusal, as an error of our own. */
function refusalOf(text: string): Error {
  const code = kvErrorCodeOf(text);
  return code === undefined ? new Error(text) : new KvError(code);
}
