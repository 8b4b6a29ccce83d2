/** Pages of a file, read in larger pieces: neighbours in a tree mostly lie near each other. */
import type { DiskFile } from '@quorate/base';

/** What of a file is read. */
export type ReadableFile = Pick<DiskFile, 'read' | 'size'>;

/** Read at once, and how many such pieces are kept. */
const pieceBytes = 256 * 1024;
const piecesMax = 64;

export class PageReader {
  readonly #file: ReadableFile;
  readonly #pageSize: number;
  /** By number; the one used last is last. */
  readonly #pieces = new Map<number, Buffer>();

  constructor(file: ReadableFile, pageSize: number) {
    this.#file = file;
    this.#pageSize = pageSize;
  }

  /** The page, if it is held already: a walk need not wait for each of its pages. Not to be changed. */
  held(number: number): Buffer | undefined {
    const position = number * this.#pageSize;
    const index = Math.floor(position / pieceBytes);
    const at = position - index * pieceBytes;
    return this.#pieces.get(index)?.subarray(at, at + this.#pageSize);
  }

  /** One page; shorter only at the end of the file. Not to be changed. */
  async page(number: number): Promise<Buffer> {
    const position = number * this.#pageSize;
    const index = Math.floor(position / pieceBytes);
    const piece = await this.#piece(index);
    const at = position - index * pieceBytes;
    return piece.subarray(at, at + this.#pageSize);
  }

  /** Any bytes; fewer only at the end of the file. */
  read(position: number, length: number): Promise<Buffer> {
    return this.#file.read(position, length);
  }

  async #piece(index: number): Promise<Buffer> {
    const kept = this.#pieces.get(index);
    this.#pieces.delete(index);
    const piece = kept ?? (await this.#file.read(index * pieceBytes, pieceBytes));
    this.#pieces.set(index, piece);
    if (this.#pieces.size > piecesMax) this.#pieces.delete(this.#pieces.keys().next().value!);
    return piece;
  }
}
