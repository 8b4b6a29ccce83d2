/** Who is in the cluster: the Cluster service without its transport. */
import { type MemberListRequest, MemberListResponse } from '@quorate/proto';
import type { Reply } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import type { ReadIndex } from './read-index.ts';
import type { StateMachine } from './state-machine.ts';

export interface ClusterServerOptions {
  readonly headers: HeaderSource;
  readonly reads: ReadIndex;
  readonly state: () => StateMachine;
}

export class ClusterServer {
  readonly #options: ClusterServerOptions;

  constructor(options: ClusterServerOptions) {
    this.#options = options;
  }

  /** Linearizable when asked (clients since 3.5 do), else what this member knows. The header has no revision, as in etcd. */
  memberList(request: MemberListRequest, reply: Reply<MemberListResponse>): void {
    const { reads } = this.#options;
    if (!request.linearizable) {
      this.#answer(reply);
      return;
    }
    reads.confirm((error) => {
      if (error === undefined) this.#answer(reply);
      else reply.fail(error);
    });
  }

  #answer(reply: Reply<MemberListResponse>): void {
    try {
      const { headers, state } = this.#options;
      reply.ok(MemberListResponse.create({ header: headers.header(0), members: state().members.list() }));
    } catch (error) {
      reply.fail(error);
    }
  }
}
