/** Status, alarms, space and leadership of this member: the Maintenance service without its transport. */
import type { MemberId } from '@quorate/base';
import { noMember } from '@quorate/base';
import {
  type AlarmRequest,
  type AlarmResponse,
  AlarmType,
  type DefragmentResponse,
  InternalRaftRequest,
  KvError,
  type MoveLeaderRequest,
  MoveLeaderResponse,
  type SnapshotResponse,
  StatusResponse,
} from '@quorate/proto';
import type { Reply, ServerCall, ServerStream } from '@quorate/rpc';
import { type BackupOptions, sendBackup } from './backup-stream.ts';
import type { HeaderSource } from './header.ts';
import type { Leadership } from './leadership.ts';
import type { Proposals } from './proposals.ts';
import { answerProposal } from './reply.ts';
import type { StateMachine } from './state-machine.ts';
import type { StoreDefragmenter } from './store-defragmenter.ts';

/** The etcd whose behaviour this follows: clients and Kubernetes read features off it. */
export const etcdVersion = '3.6.14';
/** Version of the stored schema, as etcd counts it. */
export const storageVersion = '3.6.0';

/** Facts of the raft core, read when asked. */
export interface RaftFacts {
  readonly committedIndex: number;
  readonly term: number;
  readonly isLearner: boolean;
}

export interface MaintenanceOptions {
  readonly headers: HeaderSource;
  readonly leadership: Leadership;
  readonly proposals: Proposals;
  readonly state: () => StateMachine;
  readonly raft: () => RaftFacts;
  /** `--quota-backend-bytes` as in force; 0 when switched off. */
  readonly quotaBytes: number;
  readonly defragmenter: StoreDefragmenter;
  /** Milliseconds a transfer may take. */
  readonly electionMs: number;
  readonly transferLeader: (to: MemberId) => void;
  readonly isVoter: (id: MemberId) => boolean;
  /** What a backup needs that is not said above. */
  readonly backup: Pick<BackupOptions, 'clusterId' | 'checksum' | 'pause' | 'onFatal'>;
}

export class MaintenanceServer {
  readonly #options: MaintenanceOptions;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /** Never goes through the log: every member answers for itself, learners too. */
  status(): StatusResponse {
    const { headers, leadership, state, raft, quotaBytes } = this.#options;
    const { backend, store, alarms, applyLoop, members } = state();
    const { committedIndex, term, isLearner } = raft();
    const errors = leadership.leader === noMember ? ['etcdserver: no leader'] : [];
    for (const { memberID, alarm } of alarms.list()) {
      // As protobuf prints an AlarmMember: what is zero is left out.
      const member = memberID === noMember ? '' : `memberID:${memberID} `;
      errors.push(`${member}alarm:${alarmName(alarm)} `);
    }
    return StatusResponse.create({
      header: headers.header(store.currentRevision),
      version: etcdVersion,
      dbSize: backend.sizeBytes(),
      dbSizeInUse: backend.sizeInUseBytes(),
      leader: leadership.leader,
      raftIndex: committedIndex,
      raftTerm: term,
      raftAppliedIndex: applyLoop.appliedIndex,
      errors,
      isLearner,
      // What is stored is what the cluster's version may hold: it goes up and down with it.
      storageVersion: members.clusterVersion ?? storageVersion,
      dbSizeQuota: quotaBytes,
      downgradeInfo: members.downgrade,
    });
  }

  /** All three actions go through the log, GET too, as etcd does it. */
  alarm(request: AlarmRequest, reply: Reply<AlarmResponse>): void {
    const { proposals } = this.#options;
    answerProposal(reply, (done) => proposals.propose(InternalRaftRequest.create({ alarm: request }), done));
  }

  /** Streams a backup of this member's own state, learners' too; resolves when the stream is over, and never rejects. */
  snapshot(call: ServerCall, stream: ServerStream<SnapshotResponse>): Promise<void> {
    const { backup, state } = this.#options;
    return sendBackup({ ...backup, storageVersion, backend: () => state().backend }, call, stream);
  }

  /** Of this member alone; it serves meanwhile. */
  defragment(): Promise<DefragmentResponse> {
    return this.#options.defragmenter.run();
  }

  /** Leader only; resolves once this member sees the new leader. Moving to the present leader succeeds at once. */
  async moveLeader(request: MoveLeaderRequest): Promise<MoveLeaderResponse> {
    const { leadership, transferLeader, isVoter, electionMs } = this.#options;
    if (!leadership.isLeader) throw new KvError('notLeader');
    const target = request.targetID;
    if (!isVoter(target)) throw new KvError('badLeaderTransferee');
    if (target !== leadership.leader) {
      transferLeader(target);
      const moved = await leadership.waitFor((leader) => leader === target, 2 * electionMs);
      if (!moved) throw new KvError('timeoutLeaderTransfer');
    }
    return MoveLeaderResponse.create();
  }
}

function alarmName(alarm: number): string {
  const found = Object.entries(AlarmType).find(([, value]) => value === alarm);
  return found?.[0] ?? String(alarm);
}
