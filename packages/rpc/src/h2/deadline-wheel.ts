/**
 * All deadlines of a transport on one timer: a wheel of slots, each a list of the deadlines that fall into it, now or some turns
 * later. Setting and clearing a deadline moves a few references; the timer is set for the next slot that is not empty, and left
 * alone when that becomes empty meanwhile, as nearly always. A deadline is never early and at most one tick late, beside the
 * lateness of the clock's own timers.
 */
import type { Clock, Timer } from '@quorate/base';

const tickMs = 4;
const slotCount = 1_024;

/** Who has a deadline. */
export interface Expiring {
  /** The deadline passed; called once, the deadline is off the wheel. */
  expire(): void;
}

/** A deadline on the wheel. */
export class Deadline {
  readonly call: Expiring;
  /** The tick at whose end it passes. */
  readonly tick: number;
  next: Deadline | undefined = undefined;
  previous: Deadline | undefined = undefined;
  onWheel = true;

  constructor(call: Expiring, tick: number) {
    this.call = call;
    this.tick = tick;
  }
}

export class DeadlineWheel {
  private readonly clock: Clock;
  private readonly slots: (Deadline | undefined)[] = new Array<Deadline | undefined>(slotCount).fill(undefined);
  private count = 0;
  /** All deadlines up to this tick are off the wheel. */
  private doneTick: number;
  private timer: Timer | undefined = undefined;
  /** The tick the timer waits for. */
  private timerTick = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.clock = clock;
    this.doneTick = Math.floor(clock.nowMs() / tickMs);
  }

  /** Has `call` expire `delayMs` after `nowMs`. */
  set(call: Expiring, nowMs: number, delayMs: number): Deadline {
    const deadline = new Deadline(call, Math.max(Math.ceil((nowMs + delayMs) / tickMs), this.doneTick + 1));
    const slot = deadline.tick % slotCount;
    const head = this.slots[slot];
    deadline.next = head;
    if (head !== undefined) head.previous = deadline;
    this.slots[slot] = deadline;
    this.count++;
    if (deadline.tick < this.timerTick) this.wakeAt(Math.min(deadline.tick, this.doneTick + slotCount));
    return deadline;
  }

  /** Takes a deadline off; does nothing when it is off already. */
  clear(deadline: Deadline): void {
    if (!deadline.onWheel) return;
    if (deadline.previous === undefined) this.slots[deadline.tick % slotCount] = deadline.next;
    else deadline.previous.next = deadline.next;
    if (deadline.next !== undefined) deadline.next.previous = deadline.previous;
    deadline.onWheel = false;
    deadline.next = undefined;
    deadline.previous = undefined;
    this.count--;
  }

  /** Stops the timer; nothing expires any more. */
  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.timerTick = Number.POSITIVE_INFINITY;
  }

  private wakeAt(tick: number): void {
    this.timer?.cancel();
    this.timerTick = tick;
    this.timer = this.clock.after(Math.max(0, tick * tickMs - this.clock.nowMs()), () => {
      this.stop();
      this.turnTo(Math.floor(this.clock.nowMs() / tickMs));
      if (this.count > 0 && this.timer === undefined) this.wakeAt(this.nextTick());
    });
  }

  /** The next tick whose slot is not empty, at most one turn of the wheel ahead. */
  private nextTick(): number {
    const turnEnd = this.doneTick + slotCount;
    for (let tick = this.doneTick + 1; tick < turnEnd; tick++) {
      if (this.slots[tick % slotCount] !== undefined) return tick;
    }
    return turnEnd;
  }

  /** Expires everything up to `nowTick`. */
  private turnTo(nowTick: number): void {
    const due: Deadline[] = [];
    // A clock that jumped far needs to see every slot once, not more.
    const from = Math.max(this.doneTick + 1, nowTick - slotCount + 1);
    for (let tick = from; tick <= nowTick; tick++) {
      for (let deadline = this.slots[tick % slotCount]; deadline !== undefined; deadline = deadline.next) {
        if (deadline.tick <= nowTick) due.push(deadline);
      }
    }
    this.doneTick = Math.max(this.doneTick, nowTick);
    for (const deadline of due) {
      // One that expired before may have ended the call of this one.
      if (!deadline.onWheel) continue;
      this.clear(deadline);
      deadline.call.expire();
    }
  }
}
