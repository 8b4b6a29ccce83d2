/** Loaded into a server with --import: measures its event loop and tells, over the IPC channel, when it is asked to. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds by which turns of the event loop were late since the last time somebody asked; bytes of memory now. */
export interface LoopReport {
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly residentBytes: number;
}

const histogram = monitorEventLoopDelay({ resolution: 1 });
histogram.enable();
process.on('message', () => {
  const report: LoopReport = {
    p99Ms: histogram.percentile(99) / 1e6,
    maxMs: histogram.max / 1e6,
    residentBytes: process.memoryUsage.rss(),
  };
  histogram.reset();
  process.send?.(report);
});
// Asking is no reason to stay.
process.channel?.unref();
