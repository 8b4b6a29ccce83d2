export { AlarmStore } from './alarm-store.ts';
export {
  defaultQuotaBytes,
  leaseGrantCost,
  pressureFractions,
  putCost,
  Quota,
  type QuotaOptions,
  type QuotaPressure,
  recommendedQuotaBytesMax,
  txnCost,
} from './backend-quota.ts';
