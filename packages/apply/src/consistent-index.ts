/**
 * The consistent index: which entry the stored state is the result of. It is staged together with what the entry changed, so
 * one commit takes both or neither, and a restart knows where to go on. The configuration of the cluster at that entry is kept
 * beside it, for raft to start from.
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
  #index: number;
  #term: number;
  #confState: ConfState;

  /** Starts from what `backend` holds. Throws CorruptionError. */
  constructor(backend: Backend) {
    const { index, term, confState } = readConsistentIndex(backend);
    this.#backend = backend;
    this.#index = index;
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

  /** Stages the step to the next entry. */
  moveTo(entry: { readonly index: number; readonly term: number }): void {
    const { index, term } = entry;
    invariant(index === this.#index + 1, 'consistent index does not move by one', { from: this.#index, to: index });
    invariant(term >= this.#term, 'term of an entry went back', { index, from: this.#term, to: term });
    this.#index = index;
    this.#term = term;
    const value = Buffer.allocUnsafe(2 * indexBytes);
    writeUint64(value, index, 0);
    writeUint64(value, term, 8);
    for (let i = 0; i < indexBytes; i++) value[indexBytes + i] = ~value[i]!;
    this.#backend.put(buckets.meta, indexKey, value);
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
