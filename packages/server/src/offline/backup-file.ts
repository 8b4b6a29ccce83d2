/**
 * A backup file, read: what `snapshot save` wrote, checked on the way. Two proofs stand in it. The SHA-256 at the end is over all bytes
 * before it; each frame of the stream inside has a checksum of its own, so that a file without the first one can still be judged.
 */
import { createHash } from 'node:crypto';
import type { DiskFile } from '@quorate/base';
import type { Header } from '@quorate/proto';
import { type Checksum, SnapshotDecoder, type SnapshotSink } from '../snapshot-codec.ts';

/** The stream in a file is filled up with zeros to a multiple of this; what is 32 bytes longer has a SHA-256 (etcd's rule). */
export const backupAlignment = 512;
const hashBytes = 32;
/** Read in one go. */
const pieceBytes = 1024 * 1024;
const formatVersion = 1;

/** Why a file is not taken for a backup, in words for the person who named it. */
export class BackupError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BackupError';
  }
}

export interface ReadBackupOptions {
  readonly checksum: Checksum;
  /** Takes a file without SHA-256, or with one that does not fit. The frames are checked all the same. */
  readonly skipHashCheck: boolean;
}

/** What a whole backup said of itself. */
export interface BackupRead {
  readonly header: Header;
  /** Without the SHA-256. */
  readonly sizeBytes: number;
}

/**
 * Hands the state in `file` to `sink`, frame by frame. Whatever the sink made of it counts only when this resolves: the last byte is
 * part of the proof. Rejects with BackupError, or with CorruptionError for a frame that is not what was written.
 */
export async function readBackup(
  file: DiskFile,
  sink: Pick<SnapshotSink, 'onRows'> & { readonly onPiece?: () => Promise<void> },
  options: ReadBackupOptions,
): Promise<BackupRead> {
  const fileBytes = await file.size();
  const hasHash = fileBytes % backupAlignment === hashBytes;
  if (!hasHash && !options.skipHashCheck) {
    throw new BackupError(
      `snapshot missing hash but --skip-hash-check=false: ${file.path} has ${fileBytes} bytes, and a whole snapshot ` +
        `has ${hashBytes} more than a multiple of ${backupAlignment}; it was cut, or is not a snapshot`,
    );
  }
  const sizeBytes = hasHash ? fileBytes - hashBytes : fileBytes;
  let header: Header | undefined;
  const onHeader = (found: Header): void => {
    if (found.format !== formatVersion) throw new BackupError(`snapshot of unknown format ${found.format}`);
    header = found;
  };
  const decoder = new SnapshotDecoder(
    { onHeader, onRows: (rows) => sink.onRows(rows) },
    options.checksum,
    backupAlignment - 1,
  );
  const hash = createHash('sha256');
  for (let at = 0; at < sizeBytes; at += pieceBytes) {
    const piece = await file.read(at, Math.min(pieceBytes, sizeBytes - at));
    hash.update(piece);
    decoder.push(piece);
    await sink.onPiece?.();
  }
  decoder.finish();
  if (!options.skipHashCheck) await checkHash(file, sizeBytes, hash.digest());
  return { header: header!, sizeBytes };
}

async function checkHash(file: DiskFile, at: number, actual: Buffer): Promise<void> {
  const expected = await file.read(at, hashBytes);
  if (expected.equals(actual)) return;
  throw new BackupError(`expected sha256 ${expected.toString('hex')}, got ${actual.toString('hex')}: ${file.path}`);
}
