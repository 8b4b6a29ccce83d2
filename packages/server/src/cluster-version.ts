/**
 * The version the cluster runs as, decided once by a leader and kept in the replicated membership. All members are of one version
 * here; clients and `/version` ask for it.
 */
import { ClusterVersionSet, InternalRaftRequest, KvError } from '@quorate/proto';
import type { MemberCore } from './core.ts';
import { etcdVersion } from './maintenance-server.ts';

/** `3.6.0` of 3.6.x: a cluster's version has no patch level. */
const clusterVersion = etcdVersion.replace(/\.[0-9]+$/, '.0');

export class ClusterVersion {
  readonly #core: MemberCore;
  #proposing = false;

  constructor(core: MemberCore) {
    this.#core = core;
  }

  /** Decides the version whenever this member comes to lead a cluster that has none. */
  watch(): void {
    this.#core.leadership.onChange(() => this.#decide());
  }

  #decide(): void {
    const { leadership, isServing } = this.#core;
    if (this.#proposing || !leadership.isLeader || !isServing) return;
    if (this.#core.state.members.clusterVersion !== undefined) return;
    this.#proposing = true;
    const clusterVersionSet = ClusterVersionSet.create({ version: clusterVersion });
    void this.#core.propose(InternalRaftRequest.create({ clusterVersionSet })).then((outcome) => {
      this.#proposing = false;
      // Still without a version and still leading: try again. Otherwise the next leader does.
      if (outcome instanceof KvError && !this.#core.stopping) this.#decide();
    });
  }
}
