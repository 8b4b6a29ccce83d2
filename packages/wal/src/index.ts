export { crc, crc32c } from './crc.ts';
export { segmentSizeDefault, type WalKnowledge, type WalMetadata, type WalOptions, type WalPlace } from './options.ts';
export { verifyWal, type WalReport, type WalSegmentReport } from './verify.ts';
export { Wal, type WalRecovery } from './wal.ts';
