/** What is counted of leases, under etcd's names. */
import { type Counter, exponentialBuckets, type Histogram, type Meter } from '@quorate/base';

export interface LeaseMetrics {
  readonly granted: Counter;
  readonly revoked: Counter;
  readonly renewed: Counter;
  readonly ttl: Histogram;
}

export function leaseMetrics(meter: Meter): LeaseMetrics {
  const counter = (name: string, help: string): Counter => meter.counter({ name, help });
  return {
    granted: counter('etcd_debugging_lease_granted_total', 'The total number of granted leases.'),
    revoked: counter(
      'etcd_debugging_lease_revoked_total',
      'The total number of revoked leases, expired ones included.',
    ),
    renewed: counter('etcd_debugging_lease_renewed_total', 'The number of renewed leases seen by the leader.'),
    ttl: meter.histogram(
      { name: 'etcd_debugging_lease_ttl_total', help: 'Times to live of granted leases, in seconds.' },
      exponentialBuckets(1, 2, 24),
    ),
  };
}
