/**
 * Files of this machine, behind the Disk interface. A file open for writing has two descriptors, both kept from creation to close:
 *
 *   plain     read, write, truncate, sync (fdatasync)
 *   O_DSYNC   writeAndSync: one call is write and sync, one trip through libuv's thread pool instead of two
 *
 * The kernel reports an error of a synchronous write to the call that made it, and a write-back error to every descriptor open at
 * the time, so neither hides an error from the other. Under load each trip to the pool waits for a turn of the event loop (turns
 * of 0.3 ms, groups of 304 bytes: 0.38 ms p50 with one trip, 0.71 ms with two).
 *
 * A small writeAndSync on a fast disk is made right here instead, on the main thread: whoever writes so little has nothing else
 * to do meanwhile, and two wake-ups of threads cost more than the disk does (one caller, one member: 0.13 ms a put with the pool,
 * 0.08 ms without). {@link Haste} says when.
 */
import {
  close,
  constants,
  type Dirent,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  lstat,
  mkdir,
  open,
  read,
  readdir,
  rename,
  unlink,
  write,
  writeSync,
  writev,
  writevSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Disk, type DiskFile, invariant } from '@quorate/base';

const fileMode = 0o600;
const directoryMode = 0o700;

/** The calls that may do less than asked. An argument for tests, which cannot make the kernel do that. */
export interface FileCalls {
  /** Bytes read into `target`; 0 at the end of the file. */
  read(fd: number, target: Buffer, position: number): Promise<number>;
  /** Bytes of `chunks`, taken one after another, that were written at `position`. */
  write(fd: number, chunks: readonly Uint8Array[], position: number): Promise<number>;
  /** The same on this thread. */
  writeNow(fd: number, chunks: readonly Uint8Array[], position: number): number;
}

/** The kernel's calls on libuv's thread pool. */
export const nodeFileCalls: FileCalls = {
  read: (fd, target, position) =>
    new Promise((done, fail) => {
      read(fd, target, 0, target.length, position, (error, bytes) => (error === null ? done(bytes) : fail(error)));
    }),
  write: (fd, chunks, position) =>
    new Promise((done, fail) => {
      const finish = (error: Error | null, bytes: number): void => (error === null ? done(bytes) : fail(error));
      const [first] = chunks;
      if (chunks.length === 1) write(fd, first!, 0, first!.length, position, finish);
      else writev(fd, chunks as Uint8Array[], position, finish);
    }),
  writeNow: (fd, chunks, position) => {
    const [first] = chunks;
    return chunks.length === 1
      ? writeSync(fd, first!, 0, first!.length, position)
      : writevSync(fd, chunks as Uint8Array[], position);
  },
};

/** Largest write made on the main thread: a dozen small entries. More of them come from callers who are better served meanwhile. */
const nowBytesMax = 4_096;
/** Writes on the main thread that take longer than this on average send those after them to the pool for {@link restMs}. */
const slowMs = 1;
/** So does a single one that takes longer than this. Less may be the wait for a processor after the disk was done. */
const stallMs = 10;
const restMs = 1_000;
/** The average moves this share of the way to each new write. */
const averageShare = 1 / 16;

/** When writing on the main thread pays: little to write, on a disk that was quick lately. */
class Haste {
  readonly #nowMs: () => number;
  #averageMs = 0;
  #restUntilMs = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  allows(sizeBytes: number): boolean {
    return sizeBytes <= nowBytesMax && this.#nowMs() >= this.#restUntilMs;
  }

  /** Makes a write that is allowed. */
  run(write: () => number): number {
    const startedMs = this.#nowMs();
    const written = write();
    const endedMs = this.#nowMs();
    const tookMs = endedMs - startedMs;
    this.#averageMs += (tookMs - this.#averageMs) * averageShare;
    if (tookMs > stallMs || this.#averageMs > slowMs) {
      this.#restUntilMs = endedMs + restMs;
      this.#averageMs = 0;
    }
    return written;
  }
}

/** Files under `root`, an existing directory. Files have mode 0600, directories 0700; symbolic links are not followed. */
export class NodeDisk implements Disk {
  readonly #root: string;
  readonly #calls: FileCalls;
  readonly #haste: Haste;

  constructor(root: string, calls: FileCalls = nodeFileCalls, nowMs: () => number = () => performance.now()) {
    this.#root = resolve(root);
    this.#calls = calls;
    this.#haste = new Haste(nowMs);
  }

  async open(path: string, options: { readonly write: boolean }): Promise<DiskFile> {
    return this.#openFile(path, options.write ? constants.O_RDWR : constants.O_RDONLY, options.write);
  }

  async create(path: string): Promise<DiskFile> {
    return this.#openFile(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, true);
  }

  async exists(path: string): Promise<boolean> {
    return (await unlessAbsent(call<unknown>((done) => lstat(this.#resolve(path), done)))) !== undefined;
  }

  async list(directory: string): Promise<string[]> {
    const entries = await unlessAbsent(
      call<Dirent[]>((done) => readdir(this.#resolve(directory), { withFileTypes: true }, done)),
    );
    return (entries ?? []).map((entry) => entry.name).sort();
  }

  /** Also makes the new directories durable in their parents. */
  async makeDirectory(path: string): Promise<void> {
    const made = this.#resolve(path);
    const first = await call<string | undefined>((done) => mkdir(made, { recursive: true, mode: directoryMode }, done));
    if (first === undefined) return;
    for (let at = made; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at));
  }

  async rename(from: string, to: string): Promise<void> {
    await call<void>((done) => rename(this.#resolve(from), this.#resolve(to), done));
  }

  async remove(path: string): Promise<void> {
    await unlessAbsent(call<void>((done) => unlink(this.#resolve(path), done)));
  }

  async syncDirectory(path: string): Promise<void> {
    await syncDirectory(this.#resolve(path));
  }

  async #openFile(path: string, flags: number, writable: boolean): Promise<DiskFile> {
    const real = this.#resolve(path);
    const fd = await openDescriptor(real, flags);
    if (!writable) return new NodeFile(path, { fd, commitFd: undefined }, this.#calls, this.#haste);
    try {
      const commitFd = await openDescriptor(real, constants.O_WRONLY | constants.O_DSYNC);
      return new NodeFile(path, { fd, commitFd }, this.#calls, this.#haste);
    } catch (error) {
      await closeDescriptor(fd);
      throw error;
    }
  }

  #resolve(path: string): string {
    return resolve(this.#root, path);
  }
}

/** Descriptors of an open file; `commitFd` is absent when it is open for reading only. */
interface Descriptors {
  readonly fd: number;
  readonly commitFd: number | undefined;
}

class NodeFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;
  readonly #commitFd: number | undefined;
  readonly #calls: FileCalls;
  readonly #haste: Haste;
  /** Something was written or cut through the plain descriptor since the last sync. */
  #isUnsynced = false;

  constructor(path: string, descriptors: Descriptors, calls: FileCalls, haste: Haste) {
    this.path = path;
    this.#fd = descriptors.fd;
    this.#commitFd = descriptors.commitFd;
    this.#calls = calls;
    this.#haste = haste;
  }

  async read(position: number, length: number): Promise<Buffer> {
    // A damaged length must not become an allocation: no more than there is.
    const size = await this.size();
    const target = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - position)));
    let filled = 0;
    while (filled < target.length) {
      const bytes = await this.#calls.read(this.#fd, target.subarray(filled), position + filled);
      if (bytes === 0) break;
      filled += bytes;
    }
    return target.subarray(0, filled);
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    this.#mustBeWritable();
    this.#isUnsynced = true;
    await this.#writeAll(this.#fd, [bytes], position);
  }

  async writeAndSync(position: number, chunks: readonly Uint8Array[]): Promise<void> {
    const fd = this.#mustBeWritable();
    const sizeBytes = sizeOf(chunks);
    const done = this.#haste.allows(sizeBytes) ? this.#haste.run(() => this.#calls.writeNow(fd, chunks, position)) : 0;
    if (done < sizeBytes) await this.#writeAll(fd, done === 0 ? chunks : skipBytes(chunks, done), position + done);
    if (this.#isUnsynced) await this.sync();
  }

  async sync(): Promise<void> {
    this.#mustBeWritable();
    this.#isUnsynced = false;
    await call<void>((done) => fdatasync(this.#fd, done));
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#mustBeWritable();
    this.#isUnsynced = true;
    await call<void>((done) => ftruncate(this.#fd, sizeBytes, done));
  }

  async size(): Promise<number> {
    const { size } = await call<{ readonly size: number }>((done) => fstat(this.#fd, done));
    return size;
  }

  async close(): Promise<void> {
    await closeDescriptor(this.#fd);
    if (this.#commitFd !== undefined) await closeDescriptor(this.#commitFd);
  }

  /** Goes on where the kernel stopped. A write that takes nothing without an error would be repeated for ever: it is one. */
  async #writeAll(fd: number, chunks: readonly Uint8Array[], position: number): Promise<void> {
    let rest = chunks;
    let at = position;
    let left = sizeOf(chunks);
    while (left > 0) {
      const bytes = await this.#calls.write(fd, rest, at);
      if (bytes <= 0) throw new Error(`write of ${this.path} at ${at} took nothing`);
      left -= bytes;
      at += bytes;
      if (left > 0) rest = skipBytes(rest, bytes);
    }
  }

  #mustBeWritable(): number {
    invariant(this.#commitFd !== undefined, 'write to a file open for reading', { path: this.path });
    return this.#commitFd;
  }
}

function sizeOf(chunks: readonly Uint8Array[]): number {
  let size = 0;
  for (let i = 0; i < chunks.length; i++) size += chunks[i]!.length;
  return size;
}

/** What follows the first `count` bytes; no copies. */
function skipBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}

function openDescriptor(path: string, flags: number): Promise<number> {
  return call<number>((done) => open(path, flags | constants.O_NOFOLLOW, fileMode, done));
}

function closeDescriptor(fd: number): Promise<void> {
  return call<void>((done) => close(fd, done));
}

async function syncDirectory(path: string): Promise<void> {
  const fd = await openDescriptor(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await call<void>((done) => fsync(fd, done));
  } finally {
    await closeDescriptor(fd);
  }
}

/** A callback call as a promise. Not util.promisify: its results come wrapped for some functions and bare for others. */
function call<T>(run: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
  return new Promise((done, fail) => {
    run((error, value) => (error === null ? done(value as T) : fail(error)));
  });
}

/** Undefined instead of the error that says there is no such file or directory. */
async function unlessAbsent<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
