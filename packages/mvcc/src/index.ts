export { Store } from './store.ts';
export {
  type Change,
  type ChangeListener,
  type Checksum,
  type Compaction,
  type CompactionOptions,
  type HashResult,
  type LeaseBook,
  noLeases,
  type RangeOptions,
  type RangeResult,
  type ReadTxn,
  type StoreOptions,
  type WriteTxn,
} from './types.ts';
