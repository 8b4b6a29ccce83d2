/**
 * Maintenance.Downgrade: whether the cluster may go one minor version down, that it does, and that it does not after all. What is
 * decided goes through the log; the leader then takes the cluster's version down (cluster-version.ts), and ends the downgrade when
 * every member runs the older version. The checks and words are etcd 3.6's.
 */
import type { ApplyResult } from '@quorate/apply';
import type { Logger } from '@quorate/base';
import {
  DowngradeRequestDowngradeAction as DowngradeAction,
  DowngradeInfoSet,
  type DowngradeRequest,
  DowngradeResponse,
  InternalRaftRequest,
  KvError,
} from '@quorate/proto';
import type { HeaderSource } from './header.ts';
import type { ReadIndex } from './read-index.ts';
import type { StateMachine } from './state-machine.ts';
import { checkDowngrade, downgradeTarget, shortVersion } from './version-rules.ts';

export interface DowngradeServerOptions {
  readonly headers: Pick<HeaderSource, 'header'>;
  readonly logger: Logger;
  readonly reads: Pick<ReadIndex, 'confirm'>;
  /** Throws KvError while there is none. */
  readonly state: () => Pick<StateMachine, 'members' | 'store'>;
  readonly propose: (request: InternalRaftRequest) => Promise<ApplyResult | KvError>;
}

export class DowngradeServer {
  readonly #options: DowngradeServerOptions;

  constructor(options: DowngradeServerOptions) {
    this.#options = options;
  }

  /**
   * Rejects with KvError wrongDowngradeVersionFormat, clusterVersionUnavailable, invalidDowngradeTargetVersion, downgradeInProcess,
   * and with the time-outs of reads and proposals. Answers with the cluster's version. To cancel what is not going on is no error.
   */
  async downgrade({ action, version }: DowngradeRequest): Promise<DowngradeResponse> {
    const { headers, state, logger } = this.#options;
    const target = action === DowngradeAction.CANCEL ? '' : downgradeTarget(version);
    // Etcd answers with the version from before it waited: a downgrade that begins now has not changed it yet.
    const cluster = this.#clusterVersion();
    await this.#confirmed();
    const { members } = state();
    if (action === DowngradeAction.CANCEL) {
      if (members.downgrade.enabled) await this.#set(DowngradeInfoSet.create());
      else logger.warn('there is no downgrade to cancel');
    } else {
      checkDowngrade(target, this.#clusterVersion(), members.downgrade);
      if (action === DowngradeAction.ENABLE) await this.#set({ enabled: true, targetVersion: target });
    }
    return DowngradeResponse.create({
      header: headers.header(state().store.currentRevision),
      version: shortVersion(cluster),
    });
  }

  #clusterVersion(): string {
    const { clusterVersion } = this.#options.state().members;
    if (clusterVersion === undefined) throw new KvError('clusterVersionUnavailable');
    return clusterVersion;
  }

  async #set(downgradeInfoSet: DowngradeInfoSet): Promise<void> {
    this.#options.logger.warn('a downgrade of the cluster is set', { ...downgradeInfoSet });
    const outcome = await this.#options.propose(InternalRaftRequest.create({ downgradeInfoSet }));
    if (outcome instanceof KvError) throw outcome;
  }

  #confirmed(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#options.reads.confirm((error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }
}
