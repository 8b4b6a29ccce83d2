/** A server's own measure of its event loop, and what else benchmarks read off its metrics. */

/** The upper bound of the bucket in which the 99th percentile lies, since an earlier reading; kvd only. */
export class LoopDelay {
  readonly #endpoint: string;
  #before: readonly number[] = [];

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /** Milliseconds; undefined where the server does not tell. */
  async p99Ms(): Promise<number | undefined> {
    const metrics = await metricsOf(this.#endpoint);
    const rows = [...metrics.matchAll(/^quorate_event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\S+)$/gm)];
    const counts = rows.map((row) => Number(row[2]));
    const since = counts.map((count, i) => count - (this.#before[i] ?? 0));
    this.#before = counts;
    const at = since.findIndex((count) => count >= (since.at(-1) ?? 0) * 0.99);
    return at < 0 ? undefined : Number(rows[at]![1]) * 1_000;
  }
}

/** The text of its metrics. */
export async function metricsOf(endpoint: string): Promise<string> {
  return (await fetch(`http://${endpoint}/metrics`)).text();
}
