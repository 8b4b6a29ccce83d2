/**
 * Virtual time. One queue of events in a stable order; between two events every promise that can settle does, so that the whole
 * simulation is a function of its seed. Real time, chance and timers are poisoned while it runs: a slip is an error, not a flake.
 */
import { type Clock, invariant, SimulatedCrash, type Timer } from '@quorate/base';

interface Event {
  readonly timeMs: number;
  /** Order among events of the same time. */
  readonly sequence: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Taken before the globals are poisoned: the one real primitive that lets all pending promises settle. */
const settle = setImmediate;

export class Scheduler {
  #nowMs = 0;
  #sequence = 0;
  readonly #heap: Event[] = [];
  /** Called with anything an event threw that is not a simulated crash. */
  #failure: unknown;
  #failed = false;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events still to come, cancelled ones included. */
  get pendingCount(): number {
    return this.#heap.length;
  }

  after(delayMs: number, run: () => void): Timer {
    const event = { timeMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, run, cancelled: false };
    push(this.#heap, event);
    return {
      cancel: () => {
        event.cancelled = true;
      },
    };
  }

  /** Resolves after `delayMs` of virtual time. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Makes {@link run} throw `error`: an invariant of the simulation failed somewhere that cannot throw to its caller. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#failure = error;
  }

  /** Runs events until `done` holds or `untilMs` is reached. Throws what any event or {@link fail} reported. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    const restore = poisonGlobals();
    try {
      await settled();
      while (!this.#failed && !done()) {
        const event = pop(this.#heap);
        if (event === undefined || event.timeMs > untilMs) {
          if (event !== undefined) push(this.#heap, event);
          this.#nowMs = untilMs;
          break;
        }
        if (event.cancelled) continue;
        invariant(event.timeMs >= this.#nowMs, 'virtual time went back');
        this.#nowMs = event.timeMs;
        this.#runEvent(event);
        await settled();
      }
    } finally {
      restore();
    }
    if (this.#failed) throw this.#failure;
  }

  #runEvent(event: Event): void {
    try {
      event.run();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) this.fail(error);
    }
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => {
    settle(resolve);
  });
}

/** A member's clock: its timers die with the process, and a paused process finds them late. */
export function clockOf(scheduler: Scheduler, guard: (run: () => void) => () => void): Clock {
  return {
    nowMs: () => scheduler.nowMs,
    wallMs: () => epochMs + scheduler.nowMs,
    after: (delayMs, run) => scheduler.after(delayMs, guard(run)),
    soon: (run) => {
      scheduler.after(0, guard(run));
    },
  };
}

/** The wall clock's reading at the start of every simulation. */
const epochMs = 1_700_000_000_000;

function poisonGlobals(): () => void {
  const slip = (name: string) => (): never => {
    throw new Error(`${name} called inside a simulation: take it from the Runtime`);
  };
  const saved = { now: Date.now, random: Math.random, setTimeout, setInterval, setImmediate };
  Date.now = slip('Date.now');
  Math.random = slip('Math.random');
  const timers = globalThis as unknown as Record<string, unknown>;
  for (const name of ['setTimeout', 'setInterval', 'setImmediate']) timers[name] = slip(name);
  return () => {
    Date.now = saved.now;
    Math.random = saved.random;
    timers['setTimeout'] = saved.setTimeout;
    timers['setInterval'] = saved.setInterval;
    timers['setImmediate'] = saved.setImmediate;
  };
}

function before(a: Event, b: Event): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence);
}

function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!before(event, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return top;
}
