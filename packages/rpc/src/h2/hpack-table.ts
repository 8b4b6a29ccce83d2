/**
 * The dynamic table of HPACK (RFC 7541, 2.3.2 and 4): a ring of fields, newest first, bounded by the sum of their sizes. A field
 * larger than the whole table empties it.
 */
import { fieldOverheadBytes, type HeaderField } from './header-field.ts';

export class DynamicTable {
  /** Sum of the sizes of the entries that are held at most. */
  sizeBytesMax: number;
  sizeBytes = 0;
  /** Number of entries. */
  count = 0;
  /** Changes whenever an index may mean another field than before. */
  version = 0;
  private ring: (HeaderField | undefined)[];
  /** Where the newest entry is. Entries grow older upwards, modulo the ring's length, a power of two. */
  private newest = 0;

  constructor(sizeBytesMax: number) {
    this.sizeBytesMax = sizeBytesMax;
    this.ring = new Array<HeaderField | undefined>(64).fill(undefined);
  }

  /** The entry that came `age` entries before the newest one; undefined beyond the oldest. */
  get(age: number): HeaderField | undefined {
    return age < this.count ? this.ring[(this.newest + age) & (this.ring.length - 1)] : undefined;
  }

  /** Evicts what has to go, then adds `field` as the newest entry, if it has room at all. */
  add(field: HeaderField): void {
    this.version++;
    this.evictTo(this.sizeBytesMax - field.sizeBytes);
    if (field.sizeBytes > this.sizeBytesMax) return;
    if (this.count === this.ring.length) this.grow();
    this.newest = (this.newest - 1) & (this.ring.length - 1);
    this.ring[this.newest] = field;
    this.count++;
    this.sizeBytes += field.sizeBytes;
  }

  /** Changes the bound, evicting what no longer has room. */
  resize(sizeBytesMax: number): void {
    this.version++;
    this.sizeBytesMax = sizeBytesMax;
    this.evictTo(sizeBytesMax);
  }

  private evictTo(sizeBytes: number): void {
    while (this.count > 0 && this.sizeBytes > sizeBytes) {
      this.count--;
      const at = (this.newest + this.count) & (this.ring.length - 1);
      this.sizeBytes -= this.ring[at]!.sizeBytes;
      this.ring[at] = undefined;
    }
  }

  /** Entries are at least {@link fieldOverheadBytes} large, so this ends at sizeBytesMax / 32 entries. */
  private grow(): void {
    const room = Math.min(this.ring.length * 2, 2 ** Math.ceil(Math.log2(this.sizeBytesMax / fieldOverheadBytes + 1)));
    const ring = new Array<HeaderField | undefined>(room).fill(undefined);
    for (let age = 0; age < this.count; age++) ring[age] = this.get(age);
    this.ring = ring;
    this.newest = 0;
  }
}
