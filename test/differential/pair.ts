/** One kvd and one etcd that are told the same, in the same order. */
import { existsSync } from 'node:fs';
import { type EtcdInstallation, EtcdProcess } from '../support/etcd-process.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { requestBytesMax, type Sequence, txnOpsMax } from './operations.ts';
import { rulingsFor } from './rulings.ts';
import { ServerSide, type Transcript } from './server-side.ts';

/** A directory in memory, where there is one: neither server then waits for a disk. */
const memoryDirectory = '/dev/shm';

/** Both servers' limits, small enough to be met. */
const limits = ['--max-txn-ops', String(txnOpsMax), '--max-request-bytes', String(requestBytesMax)];

export class Pair {
  readonly #cluster: KvdCluster;
  readonly #etcd: EtcdProcess;
  readonly #sides: readonly [etcd: ServerSide, kvd: ServerSide];

  private constructor(cluster: KvdCluster, etcd: EtcdProcess, sides: readonly [ServerSide, ServerSide]) {
    this.#cluster = cluster;
    this.#etcd = etcd;
    this.#sides = sides;
  }

  static async start(installation: EtcdInstallation, transport: string): Promise<Pair> {
    if (existsSync(memoryDirectory)) process.env['TMPDIR'] = memoryDirectory;
    const withoutSync = installation.minor === '3.4' ? [] : ['--unsafe-no-fsync'];
    const [cluster, etcd] = await Promise.all([
      KvdCluster.start(1, [...limits, '--rpc-transport', transport]),
      EtcdProcess.start({ installation, flags: [...limits, ...withoutSync] }),
    ]);
    const rulings = rulingsFor(installation);
    const sides = await Promise.all([
      ServerSide.open('etcd', etcd.endpoint, rulings),
      ServerSide.open('kvd', cluster.endpoints[0]!, rulings),
    ]);
    return new Pair(cluster, etcd, sides);
  }

  /** Plays a sequence on both, beginning with the same store. */
  async play(sequence: Sequence): Promise<readonly [etcd: Transcript, kvd: Transcript]> {
    await this.#both((side) => side.clear());
    const [etcd, kvd] = this.#sides.map(({ current }) => current) as [number, number];
    const revision = etcd === kvd ? etcd + 1 : Math.max(etcd, kvd) + 3;
    await this.#both((side) => side.begin(revision));
    return this.#both((side) => side.play(sequence));
  }

  /** Whether both answer. */
  async isAlive(): Promise<boolean> {
    const endpoints = [this.#etcd.endpoint, this.#cluster.endpoints[0]!];
    const answers = await Promise.allSettled(endpoints.map((endpoint) => fetch(`http://${endpoint}/version`)));
    return answers.every(({ status }) => status === 'fulfilled');
  }

  async stop(): Promise<void> {
    for (const side of this.#sides) side.close();
    this.#etcd.stop();
    await this.#cluster.close();
  }

  #both<T>(what: (side: ServerSide) => Promise<T>): Promise<[T, T]> {
    return Promise.all([what(this.#sides[0]), what(this.#sides[1])]);
  }
}
