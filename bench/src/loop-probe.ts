/**
 * Loaded into a server with --import: measures its event loop and tells, over the IPC channel, when it is asked to. How late turns
 * are includes the time for which the machine had no processor for them; how much of it they worked, Linux tells.
 */
import { openSync, readSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds since the last time somebody asked; bytes of memory now. */
export interface LoopReport {
  /** By which turns of the event loop were late. */
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The longest that the loop's thread worked between two looks, on the processor; 0 where nothing tells. */
  readonly workMaxMs: number;
  readonly residentBytes: number;
}

const histogram = monitorEventLoopDelay({ resolution: 1 });
histogram.enable();

/** Of the main thread: nanoseconds on the processor, and others that are not needed. */
const scheduled = openScheduled();
const text = Buffer.alloc(128);
let workedMs = 0;
let workMaxMs = 0;

function openScheduled(): number | undefined {
  try {
    return openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  } catch {
    // Not Linux, or without these figures.
    return undefined;
  }
}

function look(file: number): void {
  const length = readSync(file, text, 0, text.length, 0);
  const nowMs = Number(text.toString('latin1', 0, text.indexOf(32) < 0 ? length : text.indexOf(32))) / 1e6;
  workMaxMs = Math.max(workMaxMs, nowMs - workedMs);
  workedMs = nowMs;
}

if (scheduled !== undefined) {
  look(scheduled);
  workMaxMs = 0;
  setInterval(look, 1, scheduled).unref();
}

process.on('message', () => {
  const report: LoopReport = {
    p99Ms: histogram.percentile(99) / 1e6,
    maxMs: histogram.max / 1e6,
    workMaxMs,
    residentBytes: process.memoryUsage.rss(),
  };
  histogram.reset();
  workMaxMs = 0;
  process.send?.(report);
});
// Asking is no reason to stay.
process.channel?.unref();
