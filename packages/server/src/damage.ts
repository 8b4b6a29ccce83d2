/**
 * The note that a store is damaged, kept beside it. A store that gave wrong bytes once may look sound to the next start (the rows
 * may all be there and only the way to one of them be wrong), so whoever finds damage leaves a note, and no start takes the store
 * again: it is rebuilt from the other members (rebuild.ts), and the note goes with the old store.
 *
 * Damage of the log is not noted here. A log that lost what was acknowledged must never be taken for whole because the state could
 * be fetched elsewhere: votes and acknowledged entries are in it alone.
 */
import { CorruptionError, type Disk } from '@quorate/base';

/** Name of the note in the member's directory. Its content is for people. */
export const damageNote = 'store-damaged';

/** What to do about it, for logs and errors. */
export const rebuildAdvice: string =
  'this member must not serve what it stores; the others go on without it. To rebuild it from them, start it once with ' +
  '--rebuild-store=damaged; of a cluster of one, restore a backup';

/** Whether `error` says that the store, and not the log, holds other bytes than were written. */
export function isStoreDamage(error: unknown): error is CorruptionError {
  return error instanceof CorruptionError && error.subject === 'backend';
}

/** Whether a note is there. */
export function isNoted(disk: Disk): Promise<boolean> {
  return disk.exists(damageNote);
}

/** Leaves a note, durably, unless there is one. */
export async function note(disk: Disk, reason: string): Promise<void> {
  if (await isNoted(disk)) return;
  const file = await disk.create(damageNote);
  await file.writeAndSync(0, [Buffer.from(`${reason}\n`, 'utf8')]);
  await file.close();
  await disk.syncDirectory('.');
}

/** Takes the note away, durably. */
export async function removeNote(disk: Disk): Promise<void> {
  await disk.remove(damageNote);
  await disk.syncDirectory('.');
}
