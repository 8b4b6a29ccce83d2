/** `defrag --data-dir` on this machine: the store of a member that does not run, made as small as it can be. */
import { type Defragmentation, lmdbBackendFactory } from '@quorate/backend';
import { type Clock, type Logger, noCrashPoints, StorageError, silentMeter } from '@quorate/base';
import { acquireExistingDataDir } from './data-dir.ts';
import { nodeClock } from './node-clock.ts';

export interface DefragmentDataDirOptions {
  readonly dataDir: string;
  readonly logger: Logger;
}

/** As a member names its store. */
const storeName = 'db';

/** Nobody else needs the disk: no pauses. */
const eagerClock: Clock = {
  nowMs: () => nodeClock.nowMs(),
  wallMs: () => nodeClock.wallMs(),
  after: (_delayMs, run) => nodeClock.after(0, run),
  soon: (run) => nodeClock.soon(run),
};

/**
 * Holds the directory meanwhile, so that no daemon starts on it. Rejects with StorageError when there is no such directory or no store
 * in it, or somebody runs on it, and with DefragmentError when there is no room for the copy; the store is as before then.
 */
export async function defragmentDataDir({ dataDir, logger }: DefragmentDataDirOptions): Promise<Defragmentation> {
  const owned = await acquireExistingDataDir(dataDir, nodeClock);
  try {
    const backends = lmdbBackendFactory({
      directory: owned.path,
      clock: nodeClock,
      logger,
      meter: silentMeter,
      crash: noCrashPoints,
    });
    if (!(await backends.exists(storeName))) {
      throw new StorageError('data-dir', 'open', 'there is no store in the directory', { path: owned.path });
    }
    const backend = await backends.open(storeName);
    try {
      return (await backend.defragment(eagerClock))!;
    } finally {
      await backend.close();
    }
  } finally {
    await owned.release();
  }
}
