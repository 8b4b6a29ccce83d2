/**
 * The consistent index: which entry the stored state is the result of. It is staged before anything can commit what the entries up to
 * it changed, so one commit takes both or neither, and a restart knows where to go on. The configuration of the cluster at that entry
 * is kept beside it, for raft to start from.
 *
 * Rows in the bucket `meta`:
 *
 * | key | value |
 * |---|---|
 * | `consistent_index` | index, then term, 8 bytes each, big endian; then the same 16 bytes with all bits inverted |
 * | `conf_state` | raftpb.ConfState; absent before the first configuration change |
 *
 * The inverted copy is there because lmdb has no checksums: a store that says that it stands elsewhere than it does would be given
 * entries twice, or not at all, and answer wrongly ever after.
 */
import { type Backend, buckets, type Row } from '@quorate/backend';
import { CorruptionError, invariant, type Key } from '@quorate/base';
import { ConfState } from '@quorate/proto';

const indexKey = 'consistent_index';
const confStateKey = 'conf_state';
/** Index and term; as many bytes again behind them. */
const indexBytes = 16;
const twoTo32 = 0x1_0000_0000;

/** Where a stored state stands. */
export interface StoredIndex {
  /** Index of the last entry applied; 0 for a store nothing was ever applied to. */
  readonly index: number;
  readonly term: number;
  /** The configuration after that entry. */
  readonly confState: ConfState;
}

/** Reads where a store, or a view of one, stands. Throws CorruptionError. */
export function readConsistentIndex(store: Pick<Backend, 'range'>): StoredIndex {
  const row = rowOf(store, indexKey);
  const conf = rowOf(store, confStateKey);
  const confState = conf === undefined ? ConfState.create() : ConfState.decode(conf.value);
  if (row === undefined && conf !== undefined) {
    throw new CorruptionError('backend', 'a configuration without the index it belongs to', {});
  }
  if (row === undefined) return { index: 0, term: 0, confState };
  const { value } = row;
  const index = isWhole(value) ? readUint64(value, 0) : Number.NaN;
  const term = isWhole(value) ? readUint64(value, 8) : Number.NaN;
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(term)) {
    throw new CorruptionError('backend', 'not a consistent index', { value: value.toString('hex') });
  }
  return { index, term, confState };
}

/** The consistent index of a running member; the only writer of these rows. */
export class ConsistentIndex implements StoredIndex {
  readonly #backend: Backend;
  readonly #behind: Pick<Backend, 'put'>;
  #index: number;
  #term: number;
  #stagedIndex: number;
  #confState: ConfState;

  /**
   * Starts from what `backend` holds. The index is staged in `behind`, when it is not the same: past an entry that is open. Throws
   * CorruptionError.
   */
  constructor(backend: Backend, behind: Pick<Backend, 'put'> = backend) {
    const { index, term, confState } = readConsistentIndex(backend);
    this.#backend = backend;
    this.#behind = behind;
    this.#index = index;
    this.#stagedIndex = index;
    this.#term = term;
    this.#confState = confState;
  }

  get index(): number {
    return this.#index;
  }

  get term(): number {
    return this.#term;
  }

  get confState(): ConfState {
    return this.#confState;
  }

  /** Throws FatalError when `entry` is not the next one. */
  mustBeFollowedBy({ index, term }: { readonly index: number; readonly term: number }): void {
    invariant(index === this.#index + 1, 'committed entries have a gap', { applied: this.#index, index });
    invariant(term >= this.#term, 'term of an entry went back', { index, from: this.#term, to: term });
  }

  /** What `entry`, the next one, changed is staged as a whole; {@link stage} comes before anything is committed. Throws FatalError. */
  moveTo(entry: { readonly index: number; readonly term: number }): void {
    this.mustBeFollowedBy(entry);
    this.#index = entry.index;
    this.#term = entry.term;
  }

  /** Stages where the state stands, unless that is what was staged last. Once for many entries: it is the last one that counts. */
  stage(): void {
    const index = this.#index;
    if (index === this.#stagedIndex) return;
    this.#stagedIndex = index;
    const value = Buffer.allocUnsafe(2 * indexBytes);
    writeUint64(value, index, 0);
    writeUint64(value, this.#term, 8);
    for (let i = 0; i < indexBytes; i++) value[indexBytes + i] = ~value[i]!;
    this.#behind.put(buckets.meta, indexKey, value);
  }

  /** Stages another configuration; in the same step as the entry that changed it. */
  setConfState(confState: ConfState): void {
    this.#confState = confState;
    this.#backend.put(buckets.meta, confStateKey, ConfState.encode(confState));
  }
}

function rowOf(store: Pick<Backend, 'range'>, key: Key): Row | undefined {
  return store.range(buckets.meta, { from: key, to: `${key}\0`, limit: 1 })[0];
}

/** Whether both copies are there and say the same. */
function isWhole(value: Buffer): boolean {
  if (value.length !== 2 * indexBytes) return false;
  for (let i = 0; i < indexBytes; i++) {
    if ((value[i]! ^ value[indexBytes + i]!) !== 0xff) return false;
  }
  return true;
}

function readUint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * twoTo32 + bytes.readUInt32BE(at + 4);
}

function writeUint64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / twoTo32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}
