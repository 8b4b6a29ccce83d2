/** The Cluster service: who the members are. */
import {
  clusterService,
  type MemberAddResponse,
  type MemberListResponse,
  type MemberPromoteResponse,
  type MemberRemoveResponse,
  type MemberUpdateResponse,
} from '@quorate/proto';
import type { Caller, CallOptions } from './call.ts';

const { memberAdd, memberList, memberPromote, memberRemove, memberUpdate } = clusterService.methods;

export class Cluster {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** `linearizable` (default true): as of now; false: as the member asked knows them, also without a quorum. */
  memberList(options: { readonly linearizable?: boolean } = {}, call?: CallOptions): Promise<MemberListResponse> {
    return this.#caller.unary(memberList, { linearizable: options.linearizable ?? true }, call);
  }

  memberAdd(
    peerURLs: readonly string[],
    options: { readonly isLearner?: boolean } = {},
    call?: CallOptions,
  ): Promise<MemberAddResponse> {
    return this.#caller.unary(memberAdd, { ...options, peerURLs: [...peerURLs] }, call);
  }

  memberRemove(id: bigint, call?: CallOptions): Promise<MemberRemoveResponse> {
    return this.#caller.unary(memberRemove, { id }, call);
  }

  memberUpdate(id: bigint, peerURLs: readonly string[], call?: CallOptions): Promise<MemberUpdateResponse> {
    return this.#caller.unary(memberUpdate, { id, peerURLs: [...peerURLs] }, call);
  }

  /** Makes a learner that has caught up a voter. */
  memberPromote(id: bigint, call?: CallOptions): Promise<MemberPromoteResponse> {
    return this.#caller.unary(memberPromote, { id }, call);
  }
}
