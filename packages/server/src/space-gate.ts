/** What takes space is let through here or not: the quota, and the alarm that follows when it is used up. */
import type { MemberId } from '@quorate/base';
import { AlarmRequest, AlarmRequestAlarmAction, AlarmType, InternalRaftRequest, KvError } from '@quorate/proto';
import type { Quota } from '@quorate/quota';
import type { Reply } from '@quorate/rpc';
import type { Proposals } from './proposals.ts';
import type { StateMachine } from './state-machine.ts';

export interface SpaceGateOptions {
  readonly memberId: MemberId;
  readonly proposals: Proposals;
  readonly quota: Quota;
  /** The live state; throws KvError while a received snapshot is being put in its place. */
  readonly state: () => StateMachine;
}

export class SpaceGate {
  readonly #options: SpaceGateOptions;

  constructor(options: SpaceGateOptions) {
    this.#options = options;
  }

  /**
   * Decides here and now, before anything is proposed, whether `cost` still fits. What does not fit raises the alarm on the whole
   * cluster first; `reply` is answered when the alarm stands, so that the next write is refused everywhere. Throws KvError.
   */
  admits(cost: number, reply: Reply<unknown>): boolean {
    const { backend, alarms } = this.#options.state();
    if (this.#options.quota.allows(cost, backend.sizeInUseBytes() + backend.stagedBytes)) return true;
    if (alarms.has(this.#options.memberId, AlarmType.NOSPACE)) throw new KvError('noSpace');
    this.#raiseNoSpace(reply);
    return false;
  }

  #raiseNoSpace(reply: Reply<unknown>): void {
    const alarm = AlarmRequest.create({
      action: AlarmRequestAlarmAction.ACTIVATE,
      memberID: this.#options.memberId,
      alarm: AlarmType.NOSPACE,
    });
    this.#options.proposals.propose(InternalRaftRequest.create({ alarm }), () => reply.fail(new KvError('noSpace')));
  }
}
