/** Everything a member needs from the world, on this machine. */
import { lmdbBackendFactory } from '@quorate/backend';
import type { CrashPoints, Logger, Meter } from '@quorate/base';
import { type PeerTransport, type Runtime, type StartError, walDirectory } from '@quorate/server';
import { crc32c } from '@quorate/wal';
import { nodeClock } from './node-clock.ts';
import { NodeDisk } from './node-disk.ts';
import { nodeRandom } from './node-random.ts';
import { RelocatedDisk } from './relocated-disk.ts';

export interface NodeRuntimeOptions {
  /** An owned, existing directory. */
  readonly dataDir: string;
  /** `--wal-dir`, absolute; undefined: `wal` inside the data directory. */
  readonly walDir: string | undefined;
  readonly peers: PeerTransport;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  /** See Runtime. */
  readonly onExpelled: (error: StartError) => void;
  /** Must end the process. */
  readonly onFatal: (error: unknown) => void;
}

export function nodeRuntime(options: NodeRuntimeOptions): Runtime {
  const { dataDir, walDir, peers, logger, meter, crash, onExpelled, onFatal } = options;
  const disk = new NodeDisk(dataDir);
  return {
    clock: nodeClock,
    random: nodeRandom,
    disk: walDir === undefined ? disk : new RelocatedDisk(disk, walDirectory, walDir),
    backends: lmdbBackendFactory({ directory: dataDir, clock: nodeClock, logger, meter, crash }),
    peers,
    logger,
    meter,
    crash,
    checksum: crc32c,
    onExpelled,
    onFatal,
  };
}
