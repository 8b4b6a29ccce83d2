/**
 * The endpoints of one client. Calls go round robin over the endpoints that work; one that cannot be reached is left alone for
 * a while that doubles with every failure, and is tried again when its time has come or when no other is left.
 */
import type { Clock, Random } from '@quorate/base';
import { Status } from '@quorate/proto';
import type { Channel, OpenChannel } from './channel.ts';
import type { Endpoint } from './endpoint.ts';
import { deadlineError, RpcError } from './errors.ts';

/** One endpoint, its connection and how it has been doing. */
export interface Slot {
  readonly endpoint: Endpoint;
  /** Opened at first use. */
  channel: Channel | undefined;
  failures: number;
  /** On the clock's nowMs; in the past for an endpoint that works. */
  downUntilMs: number;
  lastError: unknown;
}

/** How long somebody is willing to wait for a connection. */
export interface Patience {
  /** On the clock's nowMs; undefined waits until every endpoint failed {@link roundsMax} times. */
  readonly deadlineMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface PoolOptions {
  readonly endpoints: readonly Endpoint[];
  readonly open: OpenChannel;
  readonly clock: Clock;
  readonly random: Random;
  readonly dialTimeoutMs: number;
  /** Told about every failed connection. */
  readonly onFailure: (endpoint: Endpoint, error: unknown) => void;
}

const downMinMs = 50;
const downMaxMs = 3_000;
const roundsMax = 100;

export class EndpointPool {
  readonly #options: PoolOptions;
  readonly #slots: readonly Slot[];
  /** Slots of endpoints outside the list. */
  readonly #others: Slot[] = [];
  /** Ends the pauses under way. */
  readonly #wakers = new Set<() => void>();
  #cursor = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#slots = options.endpoints.map(newSlot);
  }

  get endpoints(): readonly Endpoint[] {
    return this.#slots.map((slot) => slot.endpoint);
  }

  /** The slot of one endpoint, for calls that are about one member; it need not be in the list calls are spread over. */
  slotOf(endpoint: Endpoint): Slot {
    const same = (slot: Slot): boolean => slot.endpoint.text === endpoint.text;
    const known = this.#slots.find(same) ?? this.#others.find(same);
    if (known !== undefined) return known;
    const slot = newSlot(endpoint);
    this.#others.push(slot);
    return slot;
  }

  /** A slot whose channel is connected, without waiting; undefined when {@link acquire} has to be asked. */
  ready(only: Slot | undefined): Slot | undefined {
    if (this.#closed) return undefined;
    const cursor = this.#cursor;
    const slot = this.#next(only === undefined ? this.#slots : [only]);
    if (slot?.channel?.isConnected === true) return slot;
    this.#cursor = cursor;
    return undefined;
  }

  /** A slot whose channel is connected or will say at once why not. Rejects with RpcError when patience ends first. */
  async acquire(only: Slot | undefined, patience: Patience): Promise<Slot> {
    const { clock } = this.#options;
    const slots = only === undefined ? this.#slots : [only];
    let lastError: unknown;
    for (let attempt = 0; attempt < roundsMax * slots.length; ) {
      this.#throwIfOver(patience, slots);
      const slot = this.#next(slots);
      if (slot === undefined) {
        await this.#pause(this.#soonest(slots) - clock.nowMs(), patience);
        continue;
      }
      attempt += 1;
      try {
        await this.#connect(slot, patience);
      } catch (error) {
        if (patience.signal?.aborted === true) throw error;
        lastError = error;
        this.failed(slot, error);
        continue;
      }
      if (this.#closed) throw closedError();
      return slot;
    }
    throw lastError;
  }

  /** Leaves the endpoint alone for a while: 50 ms at first, up to 3 s, of which up to half is given back by chance. */
  failed(slot: Slot, error: unknown): void {
    const { clock, random, onFailure } = this.#options;
    slot.lastError = error;
    onFailure(slot.endpoint, error);
    // Many calls under way fail together when a member goes; that is one failure, not many.
    if (slot.downUntilMs > clock.nowMs()) return;
    const downMs = Math.min(downMinMs * 2 ** slot.failures, downMaxMs);
    slot.failures += 1;
    // Jitter, so that clients that lost the same member do not all come back at once.
    slot.downUntilMs = clock.nowMs() + downMs * (0.5 + random.below(1_000) / 2_000);
  }

  /** The endpoint answered. */
  worked(slot: Slot): void {
    slot.failures = 0;
    slot.downUntilMs = 0;
  }

  /** Whoever waits for a connection is told that there will be none. */
  close(): void {
    this.#closed = true;
    for (const wake of [...this.#wakers]) wake();
    for (const slot of [...this.#slots, ...this.#others]) slot.channel?.close();
  }

  #next(slots: readonly Slot[]): Slot | undefined {
    const now = this.#options.clock.nowMs();
    for (let i = 0; i < slots.length; i += 1) {
      const slot = slots[(this.#cursor + i) % slots.length]!;
      if (slot.downUntilMs <= now) {
        // A call about one endpoint does not count in the turn of the others.
        if (slots === this.#slots) this.#cursor = (this.#cursor + i + 1) % slots.length;
        return slot;
      }
    }
    return undefined;
  }

  #soonest(slots: readonly Slot[]): number {
    return slots.reduce((soonest, slot) => Math.min(soonest, slot.downUntilMs), Number.POSITIVE_INFINITY);
  }

  async #connect(slot: Slot, { deadlineMs, signal }: Patience): Promise<void> {
    const { open, dialTimeoutMs, clock } = this.#options;
    slot.channel ??= open(slot.endpoint);
    if (slot.channel.isConnected) return;
    const leftMs = deadlineMs === undefined ? dialTimeoutMs : Math.min(dialTimeoutMs, deadlineMs - clock.nowMs());
    await slot.channel.connect(leftMs, signal);
  }

  #throwIfOver({ deadlineMs, signal }: Patience, slots: readonly Slot[]): void {
    signal?.throwIfAborted();
    if (this.#closed) throw closedError();
    if (deadlineMs !== undefined && deadlineMs <= this.#options.clock.nowMs()) {
      throw deadlineError({ endpoint: '', sent: false, cause: slots.find((slot) => slot.failures > 0)?.lastError });
    }
  }

  #pause(delayMs: number, { deadlineMs, signal }: Patience): Promise<void> {
    const { clock } = this.#options;
    const boundedMs = deadlineMs === undefined ? delayMs : Math.min(delayMs, deadlineMs - clock.nowMs());
    return new Promise((resolve, reject) => {
      const over = (): void => {
        timer.cancel();
        this.#wakers.delete(wake);
        signal?.removeEventListener('abort', abort);
      };
      const wake = (): void => {
        over();
        resolve();
      };
      const abort = (): void => {
        over();
        reject(signal?.reason);
      };
      const timer = clock.after(Math.max(boundedMs, 0), wake);
      this.#wakers.add(wake);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** What calls of a closed client, and streams that it ended, fail with. */
export function closedError(): RpcError {
  return new RpcError({ status: Status.CANCELLED, details: 'the client is closed', endpoint: '', sent: false });
}

function newSlot(endpoint: Endpoint): Slot {
  return { endpoint, channel: undefined, failures: 0, downUntilMs: 0, lastError: undefined };
}
