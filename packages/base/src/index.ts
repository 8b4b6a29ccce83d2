export { enableExpensiveInvariants, expensiveInvariant, invariant, unreachable } from './assert.ts';
export { Deferred, Notifier } from './async.ts';
export { type Clock, nextTurn, sleep, type Timer } from './clock.ts';
export {
  type CrashPointName,
  type CrashPoints,
  crashPointNames,
  noCrashPoints,
  SimulatedCrash,
} from './crash-point.ts';
export { type Disk, type DiskFile, joinPath } from './disk.ts';
export {
  CorruptionError,
  type Facts,
  FatalError,
  StorageError,
  type StorageSubject,
  type StorageVerb,
} from './errors.ts';
export { IdTable, type Numbered } from './id-table.ts';
export {
  type ClusterId,
  formatId,
  type LeaseId,
  type MemberId,
  noLease,
  noMember,
  parseId,
  type WatchId,
} from './ids.ts';
export { type Key, keyFromBytes, keyToBytes, prefixEnd } from './keys.ts';
export { MemoryDisk } from './memory-disk.ts';
export { type Random, randomId, SeededRandom } from './random.ts';
export {
  type Counter,
  exponentialBuckets,
  type Gauge,
  type Histogram,
  type Logger,
  type Meter,
  type MetricSpec,
  silentLogger,
  silentMeter,
} from './telemetry.ts';
