/** Pages of a file, read in larger pieces: neighbours in a tree mostly lie near each other. */
import type { DiskFile } from '@quorate/base';

/** What of a file is read. */
export type ReadableFile = Pick<DiskFile, 'read' | 'size'>;

/** Read at once, and how many such pieces are kept. */
const pieceBytes = 256 * 1024;
const piecesMax = 64;

interface Piece {
  readonly loading: Promise<Buffer>;
  /** Undefined while it is on its way. */
  bytes: Buffer | undefined;
}

export class PageReader {
  readonly #file: ReadableFile;
  readonly #pageSize: number;
  /** By number; the one asked for first is first. */
  readonly #pieces = new Map<number, Piece>();
  /** The piece of the page asked for last. */
  #latest = -1;

  constructor(file: ReadableFile, pageSize: number) {
    this.#file = file;
    this.#pageSize = pageSize;
  }

  /** The page, if it is held already: a walk need not wait for each of its pages. Not to be changed. */
  held(number: number): Buffer | undefined {
    const { index, at } = this.#place(number);
    this.#readAhead(index);
    return this.#pieces.get(index)?.bytes?.subarray(at, at + this.#pageSize);
  }

  /** One page; shorter only at the end of the file. Not to be changed. */
  async page(number: number): Promise<Buffer> {
    const { index, at } = this.#place(number);
    const bytes = await this.#piece(index);
    return bytes.subarray(at, at + this.#pageSize);
  }

  /** Any bytes; fewer only at the end of the file. Not to be changed. */
  async read(position: number, length: number): Promise<Buffer> {
    const index = Math.floor(position / pieceBytes);
    const at = position - index * pieceBytes;
    const beyond = at + length - pieceBytes;
    if (beyond > pieceBytes) return this.#file.read(position, length);
    const bytes = await this.#piece(index);
    if (beyond <= 0) return bytes.subarray(at, at + length);
    return Buffer.concat([bytes.subarray(at), (await this.#piece(index + 1)).subarray(0, beyond)]);
  }

  #piece(index: number): Promise<Buffer> {
    this.#readAhead(index);
    return (this.#pieces.get(index) ?? this.#load(index)).loading;
  }

  #place(number: number): { index: number; at: number } {
    const position = number * this.#pageSize;
    const index = Math.floor(position / pieceBytes);
    return { index, at: position - index * pieceBytes };
  }

  /** Whoever goes on in order does not wait for the next piece. */
  #readAhead(index: number): void {
    if (index === this.#latest) return;
    const goesOn = index === this.#latest + 1;
    this.#latest = index;
    if (goesOn && !this.#pieces.has(index + 1)) this.#load(index + 1);
  }

  #load(index: number): Piece {
    const loading = this.#file.read(index * pieceBytes, pieceBytes);
    const piece: Piece = { loading, bytes: undefined };
    loading.then(
      (bytes) => {
        piece.bytes = bytes;
      },
      () => {
        // Told to whoever asks for the page; nobody may.
      },
    );
    this.#pieces.set(index, piece);
    if (this.#pieces.size > piecesMax) this.#pieces.delete(this.#pieces.keys().next().value!);
    return piece;
  }
}
