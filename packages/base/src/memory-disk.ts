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

/** Bytes that grow without being copied each time. */
class Content {
  #room: Buffer;
  #sizeBytes: number;

  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.#room = bytes;
    this.#sizeBytes = bytes.length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** A view, good until the next change. */
  view(start: number = 0, end: number = this.#sizeBytes): Buffer {
    return this.#room.subarray(start, Math.min(end, this.#sizeBytes));
  }

  copy(): Buffer {
    return Buffer.from(this.view());
  }

  /** What is new is zero. */
  resize(sizeBytes: number): void {
    if (sizeBytes > this.#room.length) {
      const room = Buffer.alloc(Math.max(sizeBytes, 2 * this.#room.length));
      this.view().copy(room);
      this.#room = room;
    }
    this.#room.fill(0, sizeBytes, Math.max(sizeBytes, this.#sizeBytes));
    this.#sizeBytes = sizeBytes;
  }

  set(position: number, bytes: Uint8Array): void {
    this.#room.set(bytes, position);
  }
}

/** A file's bytes apart from its names: what reads see and what the platter has. */
interface Inode {
  readonly cached: Content;
  readonly durable: Content;
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
    const inode: Inode = { cached: new Content(), durable: new Content(), dirty: new Set() };
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
    return new Map([...this.#names].map(([path, inode]) => [path, inode.cached.copy()]));
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
    return Promise.resolve(Buffer.from(this.#inode.cached.view(position, position + length)));
  }

  write(position: number, bytes: Uint8Array): Promise<void> {
    invariant(!this.#closed && this.#writable, 'write to a file not open for it', { path: this.path });
    const end = position + bytes.length;
    if (end > this.#inode.cached.sizeBytes) this.#resize(end);
    this.#inode.cached.set(position, bytes);
    this.#soil(position, end);
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
    const { cached, durable, dirty } = this.#inode;
    durable.resize(cached.sizeBytes);
    for (const sector of dirty) {
      const start = sector * sectorBytes;
      if (start < cached.sizeBytes) durable.set(start, cached.view(start, start + sectorBytes));
    }
    dirty.clear();
    return Promise.resolve();
  }

  truncate(sizeBytes: number): Promise<void> {
    this.#resize(sizeBytes);
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#inode.cached.sizeBytes);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #resize(sizeBytes: number): void {
    const { cached } = this.#inode;
    // The zeros of a file that grew are content: what was there before it was cut must not come back.
    this.#soil(cached.sizeBytes, sizeBytes);
    cached.resize(sizeBytes);
  }

  /** The sectors of [start, end) are not on the platter yet. */
  #soil(start: number, end: number): void {
    for (let s = Math.floor(start / sectorBytes); s * sectorBytes < end; s++) this.#inode.dirty.add(s);
  }
}

/** The inode after a power failure: its size is the old or the new one, its unsynced sectors are. */
function tornCopy({ cached, durable, dirty }: Inode, random: Random): Inode {
  const keepSize = cached.sizeBytes === durable.sizeBytes || random.below(2) === 0;
  const content = Buffer.alloc(keepSize ? cached.sizeBytes : durable.sizeBytes);
  durable.view().copy(content);
  for (const sector of [...dirty].sort((a, b) => a - b)) {
    const from = sector * sectorBytes;
    if (from >= content.length) continue;
    if (random.below(2) === 0) cached.view(from, from + sectorBytes).copy(content, from);
  }
  return { cached: new Content(content), durable: new Content(Buffer.from(content)), dirty: new Set() };
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}
