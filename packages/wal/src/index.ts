export { crc, crc32c } from './crc.ts';
export type { WalMetadata, WalRecovery } from './recovery.ts';
export { verifyWal, type WalReport } from './verify.ts';
export { segmentSizeDefault, Wal, type WalOptions } from './wal.ts';
