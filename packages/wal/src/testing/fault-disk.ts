/**
 * A disk in memory whose every operation can be watched, held back, refused, or be the last one before the power goes. Groups are
 * written in two steps, as a real disk does: first into the cache, then made durable, so a power failure can strike in between.
 */
import { type Disk, type DiskFile, MemoryDisk } from '@quorate/base';

/** One thing the disk was asked to do. `bytes` where something is written. */
export interface Operation {
  readonly kind:
    | 'open'
    | 'create'
    | 'list'
    | 'makeDirectory'
    | 'rename'
    | 'remove'
    | 'syncDirectory'
    | 'read'
    | 'write'
    | 'sync'
    | 'truncate'
    | 'close';
  readonly path: string;
  readonly position?: number;
  readonly bytes?: number;
}

/** Thrown by every operation once the power is gone. */
export class PowerFailure extends Error {
  constructor() {
    super('the power is gone');
    this.name = 'PowerFailure';
  }
}

export class FaultDisk implements Disk {
  readonly memory: MemoryDisk;
  /** Asked before each operation; what it throws is the result, what it returns is waited for. */
  before: (operation: Operation, nth: number) => Promise<void> | void = () => {};
  #count = 0;
  readonly #files = new Set<FaultFile>();

  constructor(memory: MemoryDisk = new MemoryDisk()) {
    this.memory = memory;
  }

  /** Operations so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * The power fails at the `nth` operation from now on, which is still carried out in the cache when `isCarriedOut`. A sync is not:
   * half of one is what a crash makes of the unsynced sectors.
   */
  failPowerAt(nth: number, isCarriedOut: boolean): void {
    const last = this.#count + nth;
    this.before = ({ kind }, at) => {
      const isLastChance = at === last && isCarriedOut && kind !== 'sync' && kind !== 'syncDirectory';
      if (at >= last && !isLastChance) throw new PowerFailure();
    };
  }

  /** Ends the process this disk belongs to: nothing it still has under way gets through. A next one gets a disk of its own. */
  kill(): void {
    this.before = () => {
      throw new PowerFailure();
    };
  }

  async open(path: string, options: { readonly write: boolean }): Promise<DiskFile> {
    await this.ask({ kind: 'open', path });
    return this.#wrap(await this.memory.open(path, options));
  }

  async create(path: string): Promise<DiskFile> {
    await this.ask({ kind: 'create', path });
    return this.#wrap(await this.memory.create(path));
  }

  exists(path: string): Promise<boolean> {
    return this.memory.exists(path);
  }

  async list(directory: string): Promise<string[]> {
    await this.ask({ kind: 'list', path: directory });
    return this.memory.list(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.ask({ kind: 'makeDirectory', path });
    await this.memory.makeDirectory(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.ask({ kind: 'rename', path: to });
    await this.memory.rename(from, to);
    for (const file of this.#files) if (file.name === from) file.name = to;
  }

  async remove(path: string): Promise<void> {
    await this.ask({ kind: 'remove', path });
    await this.memory.remove(path);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.ask({ kind: 'syncDirectory', path });
    await this.memory.syncDirectory(path);
  }

  /** Counts an operation and lets {@link before} have its say. */
  async ask(operation: Operation): Promise<void> {
    this.#count++;
    await this.before(operation, this.#count);
  }

  #wrap(file: DiskFile): FaultFile {
    const wrapped = new FaultFile(this, file);
    this.#files.add(wrapped);
    return wrapped;
  }
}

class FaultFile implements DiskFile {
  readonly path: string;
  /** Where it is by now, which is what operations on it are reported under. */
  name: string;
  readonly #disk: FaultDisk;
  readonly #file: DiskFile;

  constructor(disk: FaultDisk, file: DiskFile) {
    this.path = file.path;
    this.name = file.path;
    this.#disk = disk;
    this.#file = file;
  }

  async read(position: number, length: number): Promise<Buffer> {
    await this.#disk.ask({ kind: 'read', path: this.name, position });
    return this.#file.read(position, length);
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    await this.#disk.ask({ kind: 'write', path: this.name, position, bytes: bytes.length });
    await this.#file.write(position, bytes);
  }

  async writeAndSync(position: number, chunks: readonly Uint8Array[]): Promise<void> {
    await this.write(position, Buffer.concat(chunks));
    await this.sync();
  }

  async sync(): Promise<void> {
    await this.#disk.ask({ kind: 'sync', path: this.name });
    await this.#file.sync();
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#disk.ask({ kind: 'truncate', path: this.name });
    await this.#file.truncate(sizeBytes);
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  async close(): Promise<void> {
    await this.#disk.ask({ kind: 'close', path: this.name });
    await this.#file.close();
  }
}
