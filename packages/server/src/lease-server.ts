/**
 * The Lease service without its transport. Grants and revocations go through the log; what a lease has left, only the leader
 * knows: other members ask it over the peer connection, and answer under their own header.
 */
import {
  type Clock,
  type LeaseId,
  type MemberId,
  noLease,
  noMember,
  type Random,
  randomId,
  sleep,
} from '@quorate/base';
import { minimumTtl } from '@quorate/lease';
import {
  InternalRaftRequest,
  KvError,
  type LeaseAnswer,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  type LeaseRevokeRequest,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from '@quorate/proto';
import { leaseGrantCost } from '@quorate/quota';
import type { ClientStream, Reply, ServerCall, ServerStream } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import { KeepAliveStream } from './keep-alive-stream.ts';
import type { Leadership } from './leadership.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { LeaseQuestion, PeerTransport } from './peer-transport.ts';
import type { Proposals } from './proposals.ts';
import { answerProposal } from './reply.ts';
import type { SpaceGate } from './space-gate.ts';
import type { StateMachine } from './state-machine.ts';

export interface LeaseServerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly headers: HeaderSource;
  readonly leadership: Leadership;
  readonly proposals: Proposals;
  readonly keeper: LeaseKeeper;
  readonly peers: Pick<PeerTransport, 'askLease'>;
  readonly space: SpaceGate;
  readonly state: () => StateMachine;
  readonly electionMs: number;
  /** Milliseconds in which the leader must have answered. */
  readonly timeoutMs: number;
}

/** Milliseconds before the leader is asked again, as in etcd. */
const askAgainMs = 50;
/** Ids are picked among the positive ones, as etcd does. */
const idBits = 63;

export class LeaseServer {
  readonly #options: LeaseServerOptions;

  constructor(options: LeaseServerOptions) {
    this.#options = options;
  }

  /** The id and the effective time to live are chosen here, so that every member applies the same. */
  grant(request: LeaseGrantRequest, reply: Reply<LeaseGrantResponse>): void {
    const { space, proposals, electionMs } = this.#options;
    answerProposal(reply, (done) => {
      if (!space.admits(leaseGrantCost, reply)) return;
      const id = request.id === noLease ? this.#pickId() : request.id;
      const ttl = Math.max(request.ttl, minimumTtl(electionMs));
      proposals.propose(InternalRaftRequest.create({ leaseGrant: { id, ttl } }), done);
    });
  }

  revoke(request: LeaseRevokeRequest, reply: Reply<LeaseRevokeResponse>): void {
    const { proposals } = this.#options;
    answerProposal(reply, (done) => proposals.propose(InternalRaftRequest.create({ leaseRevoke: request }), done));
  }

  /** Of a lease that is not there: -1 left, 0 granted, and no error. */
  async timeToLive({ id, keys }: LeaseTimeToLiveRequest): Promise<LeaseTimeToLiveResponse> {
    const answer = await this.#ask({ id, renew: false, keys });
    const header = this.#options.headers.header(this.#revision());
    if (!answer.found) return LeaseTimeToLiveResponse.create({ header, id, ttl: -1 });
    return LeaseTimeToLiveResponse.create({
      header,
      id,
      ttl: answer.ttl,
      grantedTTL: answer.grantedTTL,
      keys: answer.keys,
    });
  }

  /** What this member knows, which may be a little behind, as in etcd. */
  leases(): LeaseLeasesResponse {
    const { headers, state } = this.#options;
    const leases = state()
      .leases.list()
      .map((id) => ({ id }));
    return LeaseLeasesResponse.create({ header: headers.header(this.#revision()), leases });
  }

  /** Each message is a renewal and has its answer, in order. 0 seconds mean that the lease is gone; the stream goes on. */
  keepAlive(
    requests: ClientStream<LeaseKeepAliveRequest>,
    call: ServerCall,
    stream: ServerStream<LeaseKeepAliveResponse>,
  ): void {
    const { headers, leadership, keeper } = this.#options;
    new KeepAliveStream({
      requests,
      stream,
      // The header is that of before the renewal, as in etcd.
      header: () => headers.header(this.#revision()),
      renew: (renewing) => (leadership.isLeader ? keeper.renew(renewing) : renewing.undecided()),
      renewInFull: async (id) => {
        const { found, ttl } = await this.#ask({ id, renew: true, keys: false }, call);
        return found ? ttl : 0;
      },
    }).start();
  }

  /** Starts a lease's time again; false when there is no such lease. Rejects with KvError. */
  async renew(id: LeaseId): Promise<boolean> {
    return (await this.#ask({ id, renew: true, keys: false })).found;
  }

  /** Asks whoever leads until there is an answer. Rejects with KvError. */
  async #ask(question: LeaseQuestion, call?: ServerCall): Promise<LeaseAnswer> {
    const { clock, leadership, timeoutMs } = this.#options;
    const startedMs = clock.nowMs();
    for (;;) {
      const leftMs = startedMs + timeoutMs - clock.nowMs();
      const hasLeader = await leadership.waitFor((leader) => leader !== noMember, Math.max(leftMs, 0));
      if (!hasLeader) throw new KvError('noLeader');
      const answer = await this.#askOnce(leadership.leader, question, Math.max(leftMs, 1));
      if (answer !== undefined && !answer.notLeader) return answer;
      // Throws when this member stops.
      this.#options.state();
      if (call?.cancelled === true || clock.nowMs() - startedMs >= timeoutMs) throw new KvError('timeout');
      await sleep(clock, askAgainMs);
    }
  }

  /** Undefined when there was no answer. */
  async #askOnce(leader: MemberId, question: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer | undefined> {
    const { leadership, keeper, peers } = this.#options;
    if (leadership.isLeader) return keeper.ask(question);
    if (leader === noMember) return undefined;
    // Whatever went wrong there or on the way: the question may be repeated, and there may be another leader by then.
    return peers.askLease(leader, question, timeoutMs).catch(() => undefined);
  }

  #revision(): number {
    return this.#options.state().store.currentRevision;
  }

  #pickId(): bigint {
    const { random, state } = this.#options;
    for (;;) {
      const id = BigInt.asUintN(idBits, randomId(random));
      if (id !== noLease && !state().leases.has(id)) return id;
    }
  }
}
