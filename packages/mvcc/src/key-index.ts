/**
 * The versions of all keys: for each key a chain from its newest version to its oldest. A tombstone in the chain ends
 * a generation, the life of a key between two deletes; the version behind it (newer) begins the next one with version
 * 1 and a new create revision.
 *
 * A key with one version must be cheap, and a million of them must not keep the garbage collector busy. So a version
 * is no object but an id: five numbers side by side in blocks of typed memory.
 *
 * | word | content |
 * |---|---|
 * | 0 | main; 0 when the id is free |
 * | 1 | create revision; 0 for a tombstone |
 * | 2 | version, the count of puts since the create revision; 0 for a tombstone |
 * | 3 | sub for a put, -1 - sub for a tombstone |
 * | 4 | id of the next older version of the key, or none; for a free id the next free one |
 *
 * A key that is written all the time, as a lock or a leader's record is, has a chain of thousands between two compactions, and
 * whoever follows it through the past (reads of old revisions, watches that catch up, hashes, scrubs) would walk all of it each time.
 * So each version also leaps to the next older one of a higher rank, a number drawn from its revision: as in a treap, the way
 * to a revision takes a number of steps like the chain's logarithm, and a new version finds where it leaps to in about two.
 */
import { invariant } from '@quorate/base';

/** No version. */
export const none = -1;

const words = 5;
/** Ids per block: blocks of 320 KiB are allocated fast enough for one turn and are never copied. */
const blockShift = 13;
const blockMask = (1 << blockShift) - 1;
/** Ids stay small integers. */
const idsMax = 2 ** 30;

/** What a put carries besides its revision. */
export interface Generation {
  /** Revision of the put that began the generation. */
  readonly created: number;
  /** Number of puts of the generation so far. */
  readonly version: number;
}

/** All versions of all keys. */
export class VersionTable {
  readonly #blocks: Float64Array[] = [];
  /** Where each id leaps to, or none. What it leads to may be freed since, or taken again: see {@link #leap}. */
  readonly #leaps: Int32Array[] = [];
  #used = 0;
  #free = none;
  #size = 0;

  /** Versions and tombstones held. */
  get size(): number {
    return this.#size;
  }

  main(id: number): number {
    return this.#block(id)[(id & blockMask) * words]!;
  }

  sub(id: number): number {
    const word = this.#block(id)[(id & blockMask) * words + 3]!;
    return word < 0 ? -1 - word : word;
  }

  /** Revision of the put that began the generation; 0 for a tombstone. */
  created(id: number): number {
    return this.#block(id)[(id & blockMask) * words + 1]!;
  }

  /** Number of puts of the generation up to this one; 0 for a tombstone. */
  version(id: number): number {
    return this.#block(id)[(id & blockMask) * words + 2]!;
  }

  isTombstone(id: number): boolean {
    return this.#block(id)[(id & blockMask) * words + 3]! < 0;
  }

  /** The next older version of the same key, or none. */
  older(id: number): number {
    return this.#block(id)[(id & blockMask) * words + 4]!;
  }

  /** An id for a version that one of the three methods below will describe. */
  take(): number {
    this.#size++;
    if (this.#free !== none) {
      const id = this.#free;
      this.#free = this.older(id);
      return id;
    }
    invariant(this.#used < idsMax, 'too many versions for the index', { versions: this.#used });
    if ((this.#used & blockMask) === 0) {
      this.#blocks.push(new Float64Array(words << blockShift));
      this.#leaps.push(new Int32Array(1 << blockShift));
    }
    return this.#used++;
  }

  /** `id` is a put of a key whose newest version was `older` (none for a new key); its generation follows from that. */
  setPut(id: number, main: number, sub: number, older: number): void {
    if (older === none || this.isTombstone(older)) this.#set(id, main, sub, older, main, 1);
    else this.#set(id, main, sub, older, this.created(older), this.version(older) + 1);
  }

  /**
   * Like {@link setPut} where older versions of the generation may be compacted away and the record says what it was.
   */
  setRestoredPut(id: number, main: number, sub: number, older: number, generation: Generation): void {
    this.#set(id, main, sub, older, generation.created, generation.version);
  }

  /** `id` is the end of a generation whose last version is `older`, none if that is compacted away. */
  setTombstone(id: number, main: number, sub: number, older: number): void {
    this.#set(id, main, -1 - sub, older, 0, 0);
  }

  /**
   * The version of a chain that is current at revision `at`: the first one from `newest` on that is not newer; or
   * none.
   */
  at(newest: number, at: number): number {
    let id = newest;
    while (id !== none && this.main(id) > at) {
      const leap = this.#leap(id);
      id = leap !== none && this.main(leap) > at ? leap : this.older(id);
    }
    return id;
  }

  /** Puts the chain that begins at `older` behind `id`, which had none behind it. */
  chain(id: number, older: number): void {
    this.#block(id)[(id & blockMask) * words + 4] = older;
    this.#setLeap(id, older);
  }

  /** Ends a chain at `id`. What was behind it must be freed by the caller. */
  cut(id: number): void {
    this.#block(id)[(id & blockMask) * words + 4] = none;
  }

  /** Gives an id back. No chain may hold it any more. */
  free(id: number): void {
    const block = this.#block(id);
    const at = (id & blockMask) * words;
    invariant(block[at] !== 0, 'version freed twice', { id });
    block[at] = 0;
    block[at + 4] = this.#free;
    this.#free = id;
    this.#size--;
  }

  #block(id: number): Float64Array {
    return this.#blocks[id >>> blockShift]!;
  }

  #set(id: number, main: number, subWord: number, older: number, created: number, version: number): void {
    const block = this.#block(id);
    const at = (id & blockMask) * words;
    block[at] = main;
    block[at + 1] = created;
    block[at + 2] = version;
    block[at + 3] = subWord;
    block[at + 4] = older;
    this.#setLeap(id, older);
  }

  /** An older version of the same key for `id` to go on with, passing over those between; or none. */
  #leap(id: number): number {
    const to = this.#leaps[id >>> blockShift]![id & blockMask]!;
    if (to === none) return none;
    // Compaction frees the old end of a chain: such an id says 0, or a newer revision when it was taken again.
    const main = this.main(to);
    return main > 0 && main < this.main(id) ? to : none;
  }

  #setLeap(id: number, older: number): void {
    let to = older;
    if (to !== none) {
      const rank = rankOf(this.main(id));
      while (to !== none && rankOf(this.main(to)) <= rank) to = this.#leap(to);
    }
    this.#leaps[id >>> blockShift]![id & blockMask] = to;
  }
}

/** A number that looks drawn at random: MurmurHash3's last step, of a revision's lower 32 bits. */
function rankOf(main: number): number {
  let bits = main | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
