/** What a process tells about itself beyond prom-client's defaults: open files under etcd's names, and how late the loop is. */
import { readdirSync, readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { type Clock, exponentialBuckets, type Histogram, type Meter, type Timer } from '@quorate/base';

/**
 * How often the event loop is looked at, natively: 0.5 % of a core when there is nothing to do, where every millisecond would cost
 * 1.6 %. A turn that is longer counts with its length, up to so much less.
 */
const loopCheckMs = 5;
/** How often what was found is taken over. */
const loopReadMs = 500;
/** Delays up to this are not told apart. */
const shortestDelayMs = 1;

/** Registers `os_fd_used` and `os_fd_limit`. */
export function observeFileDescriptors(meter: Meter): void {
  meter.observedGauge({ name: 'os_fd_used', help: 'The number of used file descriptors.' }, usedFileDescriptors);
  meter.observedGauge({ name: 'os_fd_limit', help: 'The file descriptor limit.' }, fileDescriptorLimit);
}

/**
 * Observes how much later than asked timers fire, into `quorate_event_loop_delay_seconds`. `onDelay` gets the longest delay of every
 * half second, in milliseconds. Returns what stops it.
 */
export function watchEventLoop(clock: Clock, meter: Meter, onDelay: (delayMs: number) => void = () => {}): () => void {
  const delays = meter.histogram(
    { name: 'quorate_event_loop_delay_seconds', help: 'How late the event loop runs what is due.' },
    exponentialBuckets(shortestDelayMs / 1000, 2, 14),
  );
  const intervals = monitorEventLoopDelay({ resolution: loopCheckMs });
  intervals.enable();
  let timer: Timer;
  // The monitor begins anew with the first look it takes, so what happens until then is ours to see.
  const lookFirst = (): void => {
    const beganMs = clock.nowMs();
    timer = clock.after(loopCheckMs, () => {
      const firstMs = Math.max(0, clock.nowMs() - beganMs - loopCheckMs);
      delays.observe(firstMs / 1000);
      timer = clock.after(loopReadMs, () => read(firstMs));
    });
  };
  const read = (firstMs: number): void => {
    const longestMs = Math.max(firstMs, takeDelays(intervals, delays));
    lookFirst();
    onDelay(longestMs);
  };
  lookFirst();
  return () => {
    timer.cancel();
    intervals.disable();
  };
}

/** Moves what was found of intervals between two looks, in nanoseconds, into `delays`. Returns the longest delay, in milliseconds. */
function takeDelays(intervals: IntervalHistogram, delays: Histogram): number {
  const delayOf = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - loopCheckMs);
  const { count } = intervals;
  if (count === 0) return 0;
  const longestMs = delayOf(intervals.max);
  // One by one only when they differ: finding one takes 4 µs.
  const isQuiet = longestMs <= shortestDelayMs;
  const usualMs = delayOf(intervals.mean);
  for (let i = 0; i < count; i++) {
    delays.observe((isQuiet ? usualMs : delayOf(intervals.percentile(((i + 0.5) * 100) / count))) / 1000);
  }
  intervals.reset();
  return longestMs;
}

function usedFileDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Not Linux.
    return 0;
  }
}

function fileDescriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? 0 : Number(soft);
  } catch {
    // Not Linux.
    return 0;
  }
}
