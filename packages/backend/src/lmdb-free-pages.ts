/**
 * The lists of free pages in the data file of lmdb. They say where it writes next, so a list that names a page in use is damage that
 * would spread. A list is a row of the tree of free pages, of numbers of 8 bytes: how many follow, and then as many. A positive one
 * names a page; a negative one says that so many pages begin with the one that follows; zero is a place left empty. What is behind
 * that is room for more.
 */

/** Which pages are in use, or free, already. */
export class PageUse {
  readonly #taken: Uint8Array;
  /** The last one in use. */
  highest = 0;

  /** Pages are numbered [0, end). */
  constructor(end: number) {
    this.#taken = new Uint8Array(end);
  }

  get end(): number {
    return this.#taken.length;
  }

  /** Whether it was still to be taken. */
  take(page: number): boolean {
    const isFirst = this.#taken[page] === 0;
    this.#taken[page] = 1;
    return isFirst;
  }

  /** The same, for a page that is in use. */
  use(page: number): boolean {
    this.highest = Math.max(this.highest, page);
    return this.take(page);
  }
}

/** Notes the pages that `list` names as used up. Returns why they cannot be free, or undefined. */
export function takeFreePages(list: Buffer, pages: PageUse): string | undefined {
  const count = list.length < 8 ? 0n : list.readBigInt64LE(0);
  if (count < 0n || count > BigInt(Math.floor(list.length / 8) - 1))
    return 'a list of free pages is longer than its place';
  for (let i = 1; i <= Number(count); i++) {
    const number = list.readBigInt64LE(8 * i);
    if (number === 0n) continue;
    const isRun = number < 0n;
    if (isRun && ++i > Number(count)) return 'a list of free pages ends before the pages that it names';
    const first = isRun ? list.readBigInt64LE(8 * i) : number;
    const end = first + (isRun ? -number : 1n);
    if (first < 2n || end > BigInt(pages.end)) return `names ${first} as free, a page which there is not`;
    for (let page = Number(first); page < Number(end); page++) {
      if (!pages.take(page)) return `names page ${page} as free, which is in use elsewhere`;
    }
  }
  return undefined;
}
