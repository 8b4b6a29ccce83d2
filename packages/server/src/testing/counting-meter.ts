/** A meter that can be read: the values of counters and gauges, and how many observations histograms took. */
import type { Meter, MetricSpec } from '@quorate/base';

export class CountingMeter implements Meter {
  readonly #values = new Map<string, () => number>();

  /** `name` or `name{label=value}` with the labels in their order; undefined when there is no such series. */
  value(series: string): number | undefined {
    return this.#values.get(series)?.();
  }

  counter(spec: MetricSpec): { add(amount?: number): void } {
    const cell = this.#cell(spec);
    return {
      add: (amount = 1) => {
        cell.value += amount;
      },
    };
  }

  gauge(spec: MetricSpec): { set(value: number): void } {
    const cell = this.#cell(spec);
    return {
      set: (value) => {
        cell.value = value;
      },
    };
  }

  histogram(spec: MetricSpec): { observe(value: number): void } {
    const cell = this.#cell(spec);
    return { observe: () => void cell.value++ };
  }

  observedGauge(spec: MetricSpec, read: () => number): void {
    this.#values.set(seriesOf(spec), read);
  }

  #cell(spec: MetricSpec): { value: number } {
    const cell = { value: 0 };
    this.#values.set(seriesOf(spec), () => cell.value);
    return cell;
  }
}

function seriesOf({ name, labels = {} }: MetricSpec): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join()}}`;
}
