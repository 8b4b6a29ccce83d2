/** Every "no" of the disk leaves this package as a StorageError about the log. */
import { FatalError, StorageError, type StorageVerb } from '@quorate/base';

/** Runs a disk operation on `file` and names it in what it throws. */
export async function onDisk<T>(verb: StorageVerb, file: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof FatalError) throw error;
    throw new StorageError('wal', verb, error instanceof Error ? error.message : String(error), { file }, error);
  }
}
