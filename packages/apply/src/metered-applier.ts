/** The outermost applier: how long each kind of request takes to carry out, under etcd's names. It changes nothing. */
import { type Clock, exponentialBuckets, type Histogram, type Meter } from '@quorate/base';
import { type InternalRaftRequest, KvError } from '@quorate/proto';
import type { Applier, Outcome } from './applier.ts';

/** Kinds of request and how etcd calls them in its metric, the frequent ones first. */
const ops = [
  ['put', 'Put'],
  ['txn', 'Txn'],
  ['deleteRange', 'DeleteRange'],
  ['leaseGrant', 'LeaseGrant'],
  ['leaseRevoke', 'LeaseRevoke'],
  ['leaseCheckpoint', 'LeaseCheckpoint'],
  ['compaction', 'Compaction'],
  ['range', 'Range'],
  ['alarm', 'Alarm'],
  ['memberAttributesSet', 'ClusterMemberAttrSet'],
  ['clusterVersionSet', 'ClusterVersionSet'],
] as const satisfies readonly (readonly [keyof InternalRaftRequest, string])[];

/** From 0.1 ms to 53 s, as etcd has them. */
const secondsBuckets = exponentialBuckets(0.0001, 2, 20);

export class MeteredApplier implements Applier {
  readonly #next: Applier;
  readonly #clock: Clock;
  readonly #meter: Meter;
  /** Made when there is something to tell, as in etcd: by op, first of those done, then of those refused. */
  readonly #seconds = [new Map<string, Histogram>(), new Map<string, Histogram>()] as const;

  constructor(next: Applier, clock: Clock, meter: Meter) {
    this.#next = next;
    this.#clock = clock;
    this.#meter = meter;
  }

  apply(request: InternalRaftRequest, answered: boolean): Outcome {
    const startedMs = this.#clock.nowMs();
    try {
      const outcome = this.#next.apply(request, answered);
      this.#observe(request, true, startedMs);
      return outcome;
    } catch (error) {
      if (error instanceof KvError) this.#observe(request, false, startedMs);
      throw error;
    }
  }

  #observe(request: InternalRaftRequest, isDone: boolean, startedMs: number): void {
    const op = opOf(request);
    const known = this.#seconds[isDone ? 0 : 1];
    let histogram = known.get(op);
    if (histogram === undefined) {
      histogram = this.#histogram(op, isDone);
      known.set(op, histogram);
    }
    histogram.observe((this.#clock.nowMs() - startedMs) / 1000);
  }

  #histogram(op: string, isDone: boolean): Histogram {
    const labels = { version: 'v3', op, success: String(isDone) };
    const help = 'How long carrying out one committed request took.';
    return this.#meter.histogram({ name: 'etcd_server_apply_duration_seconds', help, labels }, secondsBuckets);
  }
}

function opOf(request: InternalRaftRequest): string {
  for (const [field, op] of ops) if (request[field] !== undefined) return op;
  return 'unknown';
}
