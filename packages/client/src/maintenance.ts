/** The Maintenance service: calls about one member take its endpoint, calls about the cluster do not. */
import {
  type AlarmMember,
  AlarmRequestAlarmAction,
  type AlarmResponse,
  AlarmType,
  type DefragmentResponse,
  DowngradeRequestDowngradeAction,
  type DowngradeResponse,
  type HashKVResponse,
  type MoveLeaderResponse,
  maintenanceService,
  type SnapshotResponse,
  type StatusResponse,
} from '@quorate/proto';
import type { Caller, CallOptions } from './call.ts';

const { alarm, defragment, downgrade, hashKV, moveLeader, snapshot, status } = maintenanceService.methods;

export class Maintenance {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Version, sizes, leader and raft position of the member at this endpoint; never goes through raft. */
  status(endpoint: string, call?: CallOptions): Promise<StatusResponse> {
    return this.#caller.unary(status, {}, { ...call, endpoint });
  }

  /** All alarms of the cluster. */
  alarmList(call?: CallOptions): Promise<AlarmResponse> {
    return this.#caller.unary(alarm, { action: AlarmRequestAlarmAction.GET }, call);
  }

  /** Lifts one alarm of one member. The response lists what was lifted. */
  alarmDisarm({ memberID, alarm: type }: AlarmMember, call?: CallOptions): Promise<AlarmResponse> {
    return this.#caller.unary(alarm, { action: AlarmRequestAlarmAction.DEACTIVATE, memberID, alarm: type }, call);
  }

  /** Lifts every alarm, one after the other; returns those that were lifted. Stops at the first failure. */
  async alarmDisarmAll(call?: CallOptions): Promise<AlarmMember[]> {
    const { alarms } = await this.alarmList(call);
    const lifted: AlarmMember[] = [];
    for (const active of alarms) {
      if (active.alarm === AlarmType.NONE) continue;
      lifted.push(...(await this.alarmDisarm(active, call)).alarms);
    }
    return lifted;
  }

  /** Hash of all keys and revisions up to `revision` (0: all) on one member; equal on all members. */
  hashKv(endpoint: string, revision = 0, call?: CallOptions): Promise<HashKVResponse> {
    return this.#caller.unary(hashKV, { revision }, { ...call, endpoint });
  }

  /** Gives free space of one member's database back to the disk. */
  defragment(endpoint: string, call?: CallOptions): Promise<DefragmentResponse> {
    return this.#caller.unary(defragment, {}, { ...call, endpoint });
  }

  /** A copy of the database in pieces, in order; the last 32 bytes are the SHA-256 of what came before. */
  snapshot(call?: CallOptions): AsyncGenerator<SnapshotResponse, void, undefined> {
    return this.#caller.serverStream(snapshot, {}, call);
  }

  /** Hands leadership to a member. Must be asked of the leader: give its endpoint in `call`. */
  moveLeader(targetID: bigint, call?: CallOptions): Promise<MoveLeaderResponse> {
    return this.#caller.unary(moveLeader, { targetID }, call);
  }

  /** Whether the cluster could be downgraded to `version`; rejects when not. Changes nothing. */
  downgradeValidate(version: string, call?: CallOptions): Promise<DowngradeResponse> {
    return this.#caller.unary(downgrade, { action: DowngradeRequestDowngradeAction.VALIDATE, version }, call);
  }

  /** Begins a downgrade of the cluster to `version`, one minor version below its own. */
  downgradeEnable(version: string, call?: CallOptions): Promise<DowngradeResponse> {
    return this.#caller.unary(downgrade, { action: DowngradeRequestDowngradeAction.ENABLE, version }, call);
  }

  /** Ends a downgrade; the cluster's version rises again to what its members run. */
  downgradeCancel(call?: CallOptions): Promise<DowngradeResponse> {
    return this.#caller.unary(downgrade, { action: DowngradeRequestDowngradeAction.CANCEL }, call);
  }
}
