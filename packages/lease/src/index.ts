export { ExpiryQueue, type Queued } from './expiry-queue.ts';
export { Lessor, type LessorOptions } from './lessor.ts';
export {
  checkpointAfterMs,
  checkpointAgainMs,
  checkpointTtlMin,
  leaseTtlMax,
  minimumTtl,
  type Renewal,
} from './rules.ts';
