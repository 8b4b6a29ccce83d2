/**
 * A disk in memory that forgets like a real one: what was not synced may be lost in a power failure, sector by sector, and so may
 * the creation, renaming or removal of files whose directory was not synced. For simulation and tests; everything happens at
 * once, latency is the caller's business.
 */
import { invariant } from './assert.ts';
import type { Disk, DiskFile } from './disk.ts';
import { StorageError } from './errors.ts';
import type { Random } from './random.ts';

/** Smallest unit a disk writes whole. */
const sectorBytes = 512;

/** A file's bytes apart from its names: what reads see and what the platter has. */
interface Inode {
  cached: Buffer;
  durable: Buffer;
  /** Sectors written since the last sync, by index. */
  readonly dirty: Set<number>;
}

export class MemoryDisk implements Disk {
  /** Names as running processes see them. */
  #names = new Map<string, Inode>();
  /** Names as they are after a power failure. */
  readonly #durableNames = new Map<string, Inode>();
  readonly #directories = new Set<string>();

  open(path: string, options: { readonly write: boolean }): Promise<DiskFile> {
    const inode = this.#names.get(path);
    if (inode === undefined) return Promise.reject(new StorageError('wal', 'open', 'no such file', { path }));
    return Promise.resolve(new MemoryFile(path, inode, options.write));
  }

  create(path: string): Promise<DiskFile> {
    if (this.#names.has(path)) return Promise.reject(new StorageError('wal', 'open', 'file exists', { path }));
    const inode: Inode = { cached: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() };
    this.#names.set(path, inode);
    return Promise.resolve(new MemoryFile(path, inode, true));
  }

  exists(path: string): Promise<boolean> {
    return Promise.resolve(this.#names.has(path) || this.#directories.has(path));
  }

  list(directory: string): Promise<string[]> {
    const names = [...this.#names.keys()]
      .filter((path) => parentOf(path) === directory)
      .map((path) => path.slice(directory === '' ? 0 : directory.length + 1));
    return Promise.resolve(names.sort());
  }

  makeDirectory(path: string): Promise<void> {
    this.#directories.add(path);
    return Promise.resolve();
  }

  rename(from: string, to: string): Promise<void> {
    const inode = this.#names.get(from);
    if (inode === undefined) return Promise.reject(new StorageError('wal', 'rename', 'no such file', { from }));
    this.#names.delete(from);
    this.#names.set(to, inode);
    return Promise.resolve();
  }

  remove(path: string): Promise<void> {
    this.#names.delete(path);
    return Promise.resolve();
  }

  syncDirectory(path: string): Promise<void> {
    const paths = new Set([...this.#names.keys(), ...this.#durableNames.keys()]);
    for (const file of paths) if (parentOf(file) === path) this.#settleName(file);
    return Promise.resolve();
  }

  /**
   * A power failure: every sector written and not synced keeps its old or its new content by chance, every unsynced change of a
   * name happened or did not. Open files of before are void.
   */
  crash(random: Random): void {
    const paths = new Set([...this.#names.keys(), ...this.#durableNames.keys()]);
    for (const path of [...paths].sort()) {
      if (this.#names.get(path) !== this.#durableNames.get(path) && random.below(2) === 0) this.#settleName(path);
    }
    const survivors = new Map<string, Inode>();
    for (const path of [...this.#durableNames.keys()].sort()) {
      const inode = tornCopy(this.#durableNames.get(path)!, random);
      survivors.set(path, inode);
      this.#durableNames.set(path, inode);
    }
    this.#names = survivors;
  }

  /** Copies of all files as processes see them, by path: for comparing before and after. */
  contents(): Map<string, Buffer> {
    return new Map([...this.#names].map(([path, inode]) => [path, Buffer.from(inode.cached)]));
  }

  #settleName(path: string): void {
    const inode = this.#names.get(path);
    if (inode === undefined) this.#durableNames.delete(path);
    else this.#durableNames.set(path, inode);
  }
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #inode: Inode;
  readonly #writable: boolean;
  #closed = false;

  constructor(path: string, inode: Inode, writable: boolean) {
    this.path = path;
    this.#inode = inode;
    this.#writable = writable;
  }

  read(position: number, length: number): Promise<Buffer> {
    invariant(!this.#closed, 'read of a closed file', { path: this.path });
    return Promise.resolve(Buffer.from(this.#inode.cached.subarray(position, position + length)));
  }

  write(position: number, bytes: Uint8Array): Promise<void> {
    invariant(!this.#closed && this.#writable, 'write to a file not open for it', { path: this.path });
    const end = position + bytes.length;
    if (end > this.#inode.cached.length) this.#resize(end);
    this.#inode.cached.set(bytes, position);
    for (let s = Math.floor(position / sectorBytes); s * sectorBytes < end; s++) this.#inode.dirty.add(s);
    return Promise.resolve();
  }

  async writeAndSync(position: number, chunks: readonly Uint8Array[]): Promise<void> {
    let at = position;
    for (const chunk of chunks) {
      await this.write(at, chunk);
      at += chunk.length;
    }
    await this.sync();
  }

  sync(): Promise<void> {
    const { cached, dirty } = this.#inode;
    const durable = Buffer.alloc(cached.length);
    this.#inode.durable.copy(durable);
    for (const sector of dirty)
      cached.copy(durable, sector * sectorBytes, sector * sectorBytes, (sector + 1) * sectorBytes);
    this.#inode.durable = durable;
    dirty.clear();
    return Promise.resolve();
  }

  truncate(sizeBytes: number): Promise<void> {
    this.#resize(sizeBytes);
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#inode.cached.length);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #resize(sizeBytes: number): void {
    const resized = Buffer.alloc(sizeBytes);
    this.#inode.cached.copy(resized);
    this.#inode.cached = resized;
  }
}

/** The inode after a power failure: its size is the old or the new one, its unsynced sectors are. */
function tornCopy(inode: Inode, random: Random): Inode {
  const keepSize = inode.cached.length === inode.durable.length || random.below(2) === 0;
  const content = Buffer.alloc(keepSize ? inode.cached.length : inode.durable.length);
  inode.durable.copy(content);
  for (const sector of [...inode.dirty].sort((a, b) => a - b)) {
    const from = sector * sectorBytes;
    if (from >= content.length) continue;
    if (random.below(2) === 0) inode.cached.copy(content, from, from, from + sectorBytes);
  }
  return { cached: content, durable: Buffer.from(content), dirty: new Set() };
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}
