/**
 * A member's disk in virtual time, over a MemoryDisk that remembers what was synced. Writes land in its cache at once and become
 * durable when the sync returns, a latency later; a crash in between is what tears.
 */
import type { Disk, DiskFile, MemoryDisk } from '@quorate/base';
import type { SimProcess } from './process.ts';

export class SimDisk implements Disk {
  readonly #disk: MemoryDisk;
  readonly #process: SimProcess;
  readonly #delayMs: () => number;

  constructor(disk: MemoryDisk, process: SimProcess, delayMs: () => number) {
    this.#disk = disk;
    this.#process = process;
    this.#delayMs = delayMs;
  }

  async open(path: string, options: { readonly write: boolean }): Promise<DiskFile> {
    await this.#wait();
    return this.#wrap(await this.#disk.open(path, options));
  }

  async create(path: string): Promise<DiskFile> {
    await this.#wait();
    return this.#wrap(await this.#disk.create(path));
  }

  async exists(path: string): Promise<boolean> {
    await this.#wait();
    return this.#disk.exists(path);
  }

  async list(directory: string): Promise<string[]> {
    await this.#wait();
    return this.#disk.list(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#wait();
    await this.#disk.makeDirectory(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#wait();
    await this.#disk.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    await this.#wait();
    await this.#disk.remove(path);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#wait();
    await this.#disk.syncDirectory(path);
  }

  /** A dead process gets no further: the promise never settles. */
  #wait(): Promise<void> {
    return this.#process.later(this.#delayMs() / 4, () => undefined);
  }

  #wrap(file: DiskFile): DiskFile {
    const wait = (): Promise<void> => this.#wait();
    const slow = (): Promise<void> => this.#process.later(this.#delayMs(), () => undefined);
    return {
      path: file.path,
      async read(position, length) {
        await wait();
        return file.read(position, length);
      },
      async write(position, bytes) {
        await wait();
        await file.write(position, bytes);
      },
      async writeAndSync(position, chunks) {
        // Into the cache now, durable later: a power loss in between keeps any part of it.
        let at = position;
        for (const chunk of chunks) {
          await file.write(at, chunk);
          at += chunk.length;
        }
        await slow();
        await file.sync();
      },
      async sync() {
        await slow();
        await file.sync();
      },
      async truncate(sizeBytes) {
        await wait();
        await file.truncate(sizeBytes);
      },
      async size() {
        await wait();
        return file.size();
      },
      async close() {
        await file.close();
      },
    };
  }
}
