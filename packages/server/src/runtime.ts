/**
 * What a member needs from the world, in one object. Programs build one on Node.js, the simulator one on virtual time, network
 * and disks; the member behind it is the same code.
 */
import type { BackendFactory } from '@quorate/backend';
import type { Clock, CrashPoints, Disk, Logger, Meter, Random } from '@quorate/base';
import type { ChangeListener } from '@quorate/mvcc';
import type { PeerTransport } from './peer-transport.ts';
import type { StartError } from './start-error.ts';

export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  /** Root is the member's directory: the WAL lives under `wal`. */
  readonly disk: Disk;
  /** Root is the member's directory: the store is `db`. */
  readonly backends: BackendFactory;
  readonly peers: PeerTransport;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  /** CRC-32C over `bytes`, continued from `seed`: records, snapshots and HashKV. */
  readonly checksum: (bytes: Uint8Array, seed: number) => number;
  /** Told of every change at the end of its transaction; for watchers of the whole store such as the simulator. */
  readonly onChanges?: ChangeListener;
  /**
   * Called once when the cluster does not know this member any more: it was removed, or runs on another data directory than
   * before. The program should stop it in good order, say why, and not start it again. Default: {@link onFatal}.
   */
  readonly onExpelled?: (error: StartError) => void;
  /** Called once when the member can no longer be trusted (disk error, broken invariant). The process must end. */
  readonly onFatal: (error: unknown) => void;
}
