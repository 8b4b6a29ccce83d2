/** A disk on which one directory lies elsewhere: `--wal-dir` puts the log on a device of its own. */
import { type Disk, type DiskFile, joinPath } from '@quorate/base';

/** `disk` with everything under `directory` found under `elsewhere` instead, a path `disk` understands. */
export class RelocatedDisk implements Disk {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #elsewhere: string;

  constructor(disk: Disk, directory: string, elsewhere: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#elsewhere = elsewhere;
  }

  open(path: string, options: { readonly write: boolean }): Promise<DiskFile> {
    return this.#disk.open(this.#at(path), options);
  }
  create(path: string): Promise<DiskFile> {
    return this.#disk.create(this.#at(path));
  }
  exists(path: string): Promise<boolean> {
    return this.#disk.exists(this.#at(path));
  }
  list(directory: string): Promise<string[]> {
    return this.#disk.list(this.#at(directory));
  }
  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(this.#at(path));
  }
  rename(from: string, to: string): Promise<void> {
    return this.#disk.rename(this.#at(from), this.#at(to));
  }
  remove(path: string): Promise<void> {
    return this.#disk.remove(this.#at(path));
  }
  syncDirectory(path: string): Promise<void> {
    return this.#disk.syncDirectory(this.#at(path));
  }

  #at(path: string): string {
    if (path === this.#directory) return this.#elsewhere;
    const prefix = `${this.#directory}/`;
    return path.startsWith(prefix) ? joinPath(this.#elsewhere, path.slice(prefix.length)) : path;
  }
}
