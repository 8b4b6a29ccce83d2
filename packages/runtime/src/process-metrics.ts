/** What a process tells about itself beyond prom-client's defaults: open files under etcd's names, and how late the loop is. */
import { readdirSync, readFileSync } from 'node:fs';
import { type Clock, exponentialBuckets, type Meter, type Timer } from '@quorate/base';

/** How often the event loop is checked. */
const loopCheckMs = 100;

/** Registers `os_fd_used` and `os_fd_limit`. */
export function observeFileDescriptors(meter: Meter): void {
  meter.observedGauge({ name: 'os_fd_used', help: 'The number of used file descriptors.' }, usedFileDescriptors);
  meter.observedGauge({ name: 'os_fd_limit', help: 'The file descriptor limit.' }, fileDescriptorLimit);
}

/**
 * Observes how much later than asked a timer fires, into `quorate_event_loop_delay_seconds`. `onDelay` gets each delay in
 * milliseconds. Returns what stops it.
 */
export function watchEventLoop(clock: Clock, meter: Meter, onDelay: (delayMs: number) => void = () => {}): () => void {
  const histogram = meter.histogram(
    { name: 'quorate_event_loop_delay_seconds', help: 'How late the event loop runs what is due.' },
    exponentialBuckets(0.001, 2, 14),
  );
  let timer: Timer;
  const check = (dueMs: number): void => {
    const delayMs = Math.max(0, clock.nowMs() - dueMs);
    histogram.observe(delayMs / 1000);
    onDelay(delayMs);
    arm();
  };
  const arm = (): void => {
    const dueMs = clock.nowMs() + loopCheckMs;
    timer = clock.after(loopCheckMs, () => check(dueMs));
  };
  arm();
  return () => timer.cancel();
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
