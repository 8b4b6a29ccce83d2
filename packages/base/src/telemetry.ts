/**
 * Logger and Meter: constructor arguments everywhere, with no-op versions here. A log message is a constant lower-case phrase,
 * facts go into fields; metric handles are made once and used on the hot path.
 */
import type { Facts } from './errors.ts';

export interface Logger {
  debug(message: string, facts?: Facts): void;
  info(message: string, facts?: Facts): void;
  warn(message: string, facts?: Facts): void;
  error(message: string, facts?: Facts): void;
  /** A logger that adds `facts` to every line. */
  with(facts: Facts): Logger;
}

export interface Counter {
  add(amount?: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  /** `value` in the metric's unit: seconds for *_seconds. */
  observe(value: number): void;
}

/** Names, label values and helps of a metric. Labels are fixed when the handle is made. */
export interface MetricSpec {
  /** Full name, as etcd names it where etcd has it. */
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Meter {
  counter(spec: MetricSpec): Counter;
  gauge(spec: MetricSpec): Gauge;
  /** `buckets`: upper bounds, ascending. */
  histogram(spec: MetricSpec, buckets: readonly number[]): Histogram;
  /** A gauge whose value is asked for when somebody looks. */
  observedGauge(spec: MetricSpec, read: () => number): void;
}

/** `start * factor^i` for i in [0, count): etcd's bucket layouts. */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i);
}

export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  with: () => silentLogger,
};

const noCounter: Counter = { add: () => {} };
const noGauge: Gauge = { set: () => {} };
const noHistogram: Histogram = { observe: () => {} };

export const silentMeter: Meter = {
  counter: () => noCounter,
  gauge: () => noGauge,
  histogram: () => noHistogram,
  observedGauge: () => {},
};
