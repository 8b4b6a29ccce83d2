/**
 * The only door to files for WAL and snapshots. Production implements it on node:fs, the simulator with a disk that forgets
 * what was not synced. Every rejected promise means the disk said no; callers let it stop the process (no retry, ever).
 */

/** An open file. One handle from creation to close: errors of earlier writes are reported to the handle that made them. */
export interface DiskFile {
  readonly path: string;
  /** Reads up to `length` bytes at `position`; shorter only at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  /** Writes all of `bytes` at `position` (short writes are continued). Not durable until a sync returned. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /**
   * Writes `chunks` one after another from `position` on, then makes data (and the size, if it changed) durable. The one call
   * of the commit path, so that an implementation can do both in as few trips as it likes.
   */
  writeAndSync(position: number, chunks: readonly Uint8Array[]): Promise<void>;
  /** Makes earlier writes durable (fdatasync). */
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** Paths are plain strings with `/`; relative names are relative to the implementation's root. */
export interface Disk {
  /** Opens an existing file; `write` false refuses writes. Rejects when absent. */
  open(path: string, options: { readonly write: boolean }): Promise<DiskFile>;
  /** Creates a file that must not exist yet, mode 0600. Durable only after syncing it and its directory. */
  create(path: string): Promise<DiskFile>;
  exists(path: string): Promise<boolean>;
  /** Names (not paths) in a directory, sorted; empty for a directory that does not exist. */
  list(directory: string): Promise<string[]>;
  /** Creates a directory and its parents, mode 0700; fine when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Atomic replace; durable only after syncing the directory. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; fine when absent. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in a directory durable. */
  syncDirectory(path: string): Promise<void>;
}

/** `a/b` from `a` and `b`. */
export function joinPath(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}
