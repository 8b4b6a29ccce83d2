/**
 * What a leader need not send at once. Callers who wait for each answer before they ask again make a small append every fraction of
 * a millisecond, and each costs every follower two wake-ups, a write and an answer, which is more than the put itself. While such
 * appends follow each other closely,
 *
 *   a commit index alone waits for the next append, which carries it;
 *   an append goes to as many followers as make a majority, the quickest ones, and the others get several in one message.
 *
 * Nothing waits for longer than {@link waitMs}, and a millisecond for the timer: to raft this is a network that is slower by as much.
 * A majority has synced what is acknowledged as before. When those who were asked do not answer within that time, what waits goes to
 * the others, and whoever answers first is asked from then on; so it is for one append of 64, too, in case another has become
 * quicker. A follower whose own callers wait for entries and commit indices is spared nothing.
 */
import type { Clock, MemberId, Timer } from '@quorate/base';
import { type Message, MessageType } from '@quorate/proto';
import { payloadSizeBytes, quietContext, type RawNode } from '@quorate/raft';

export interface ThriftyAppendsOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly rawNode: Pick<RawNode, 'confState' | 'committedIndex'>;
  /** Messages whose wait is over. */
  readonly send: (messages: readonly Message[]) => void;
}

/** Longest wait, in milliseconds, and the longest pause between appends that follow each other closely. */
const waitMs = 5;
/** So many appends must have followed each other closely. */
const streakMin = 8;
/** Payload bytes of a small append: a dozen small entries. With more callers than that a message is worth its costs. */
const smallBytesMax = 4_096;
/** One append of so many goes to everyone. */
const trialEvery = 64;
/** Milliseconds after a request of its own callers for which a follower is spared nothing. */
const attentionMs = 100;

/** An append that everyone got, and the other voters that have answered it, the quickest first. */
interface Trial {
  readonly index: number;
  readonly others: readonly MemberId[];
  readonly answered: MemberId[];
}

interface Waiting {
  readonly message: Message;
  readonly sinceMs: number;
}

export class ThriftyAppends {
  readonly #options: ThriftyAppendsOptions;
  /** What waits, in one message per follower. */
  readonly #waiting = new Map<MemberId, Waiting>();
  #timer: Timer | undefined;
  /** Followers that make a majority with this member; empty while that is not known. */
  #asked: readonly MemberId[] = [];
  #trial: Trial | undefined;
  #untilTrial = trialEvery;
  #lastIndex = 0;
  #appendedMs = Number.NEGATIVE_INFINITY;
  /** Appends that followed each other closely. */
  #streak = 0;
  /** When callers of a follower last asked for something. */
  readonly #askedForMs = new Map<MemberId, number>();

  constructor(options: ThriftyAppendsOptions) {
    this.#options = options;
  }

  /** A message from another member, before raft has it. */
  heard({ type, from, index, reject }: Message): void {
    if (type === MessageType.MSG_APP_RESP) {
      if (!reject) this.#answered(from, index);
    } else if (type === MessageType.MSG_PROP || type === MessageType.MSG_READ_INDEX) {
      this.#askedForMs.set(from, this.#options.clock.nowMs());
    }
  }

  /** Of what raft wants sent, that which leaves now, with what waited for the same members; heartbeats go alone. */
  pass(messages: readonly Message[]): readonly Message[] {
    this.#note(messages);
    if (this.#streak < streakMin && this.#waiting.size === 0) return messages;
    const leaving: Message[] = [];
    for (const message of messages) {
      // A read waits for the answer, which must not wait for what the follower need not have yet.
      if (message.type === MessageType.MSG_HEARTBEAT) {
        leaving.push(message);
        continue;
      }
      const before = this.#waiting.get(message.to);
      const joined = before === undefined ? message : join(before.message, message);
      if (joined !== undefined && this.#mayWait(message)) {
        this.#wait(joined, before?.sinceMs);
        continue;
      }
      if (before !== undefined) this.#waiting.delete(message.to);
      if (joined !== undefined) leaving.push(joined);
      else leaving.push(before!.message, message);
    }
    return leaving;
  }

  /** Another leader, or this one anew, or none: whatever waits is dropped, as by a network. */
  reset(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting.clear();
    this.#askedForMs.clear();
    this.#askAnew();
    this.#lastIndex = 0;
    this.#streak = 0;
  }

  /** Notes an append that is new, and how soon it followed the one before. */
  #note(messages: readonly Message[]): void {
    const append = messages.find(({ entries }) => entries.length > 0);
    const last = append?.entries.at(-1)?.index ?? 0;
    if (append === undefined || append.type !== MessageType.MSG_APP || last <= this.#lastIndex) return;
    this.#lastIndex = last;
    const nowMs = this.#options.clock.nowMs();
    const isNear = nowMs - this.#appendedMs < waitMs && payloadSizeBytes(append.entries) <= smallBytesMax;
    this.#appendedMs = nowMs;
    this.#streak = isNear ? this.#streak + 1 : 0;
    this.#untilTrial--;
    if (this.#streak < streakMin || this.#trial !== undefined) return;
    if (this.#asked.length === 0 || this.#untilTrial <= 0) this.#tryEveryone();
  }

  #tryEveryone(): void {
    this.#asked = [];
    this.#untilTrial = trialEvery;
    const { memberId, rawNode } = this.#options;
    const { voters, votersOutgoing } = rawNode.confState();
    if (votersOutgoing.length > 0 || !voters.includes(memberId)) return;
    const others = voters.filter((id) => id !== memberId);
    this.#trial = { index: this.#lastIndex, others, answered: [] };
  }

  #answered(from: MemberId, index: number): void {
    if (this.#trial === undefined) return;
    const { others, answered } = this.#trial;
    if (index < this.#trial.index || answered.includes(from) || !others.includes(from)) return;
    answered.push(from);
    if (answered.length < Math.ceil(others.length / 2)) return;
    this.#asked = answered;
    this.#trial = undefined;
  }

  #askAnew(): void {
    this.#asked = [];
    this.#trial = undefined;
  }

  #mayWait({ type, to, entries, context }: Message): boolean {
    if (type !== MessageType.MSG_APP || this.#streak < streakMin) return false;
    const askedForMs = this.#askedForMs.get(to);
    if (askedForMs !== undefined && this.#options.clock.nowMs() - askedForMs < attentionMs) return false;
    if (entries.length === 0) return context.equals(quietContext);
    return this.#asked.length > 0 && !this.#asked.includes(to);
  }

  #wait(message: Message, sinceMs = this.#options.clock.nowMs()): void {
    this.#waiting.set(message.to, { message, sinceMs });
    if (this.#timer === undefined) this.#setTimer(waitMs);
  }

  #setTimer(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => this.#waited());
  }

  #waited(): void {
    const { clock, rawNode, send } = this.#options;
    this.#timer = undefined;
    const dueMs = clock.nowMs() - waitMs;
    const leaving: Message[] = [];
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const [to, { message, sinceMs }] of this.#waiting) {
      if (sinceMs > dueMs) oldestMs = Math.min(oldestMs, sinceMs);
      else {
        this.#waiting.delete(to);
        leaving.push(message);
        const first = message.entries[0]?.index ?? 0;
        if (first > rawNode.committedIndex) this.#askAnew();
      }
    }
    // Rounded up: a rest too small for the clock's fractions would come round again and again at the same time.
    if (this.#waiting.size > 0) this.#setTimer(Math.ceil(oldestMs - dueMs));
    if (leaving.length > 0) send(leaving);
  }
}

/** Two messages to one member as one; undefined when the second does not continue the first. */
function join(first: Message, second: Message): Message | undefined {
  const continues = second.index === first.index + first.entries.length;
  if (second.type !== MessageType.MSG_APP || second.term !== first.term || !continues) return undefined;
  if (first.entries.length === 0) return second;
  const { index, logTerm, context } = first;
  return { ...second, index, logTerm, context, entries: [...first.entries, ...second.entries] };
}
