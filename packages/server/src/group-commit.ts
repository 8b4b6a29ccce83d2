/**
 * The local append thread of raft's asynchronous storage writes. One WAL sync is in flight at a time; what is handed out meanwhile
 * is the next group (group commit without a timer). Nothing leaves that an append must precede: the answers it allows are
 * delivered only when its sync has returned.
 */
import type { Clock, CrashPoints } from '@quorate/base';
import type { HardState, Message } from '@quorate/proto';
import type { MemoryStorage } from '@quorate/raft';
import type { Wal } from '@quorate/wal';

export interface GroupCommitOptions {
  readonly clock: Clock;
  readonly storage: MemoryStorage;
  readonly wal: Wal;
  readonly crash: CrashPoints;
  /** A snapshot was accepted: makes it the member's state, durably, before anything later is saved. */
  readonly installSnapshot: (message: Message) => Promise<void>;
  /** Answers that appends allowed. */
  readonly deliver: (responses: readonly Message[]) => void;
  /** A group is on disk and its answers are delivered. */
  readonly saved: () => void;
  /** Any error of the disk, or of what its success led to, is the end of the member. */
  readonly onFatal: (error: unknown) => void;
}

/** Work for the log, and whether its answers must wait for a sync. */
interface Append {
  readonly message: Message;
  readonly mustSync: boolean;
}

/** Entries that make a group large. A small one may be written on this very thread, and whoever waits for an answer would wait for that. */
const largeGroupMin = 16;
/** Milliseconds for which a disk stands idle between the groups of callers that ask again at once. After more, what comes is a burst. */
const idleMsMax = 50;

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  /** Appends handed out by the core that no group has taken yet. */
  #appends: Append[] = [];
  /** The hard state handed out last: what term and vote of the next one are compared with. */
  #promised: HardState;
  #saving = false;
  #startedMs = 0;
  /** Milliseconds that the last group took; infinite before there was one. */
  #tookMs = Number.POSITIVE_INFINITY;
  #savedMs = 0;
  #stopped = false;
  #idle: (() => void) | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#promised = options.storage.initialState().hardState;
  }

  /** Takes a message to the local append thread into the next group. */
  take(message: Message): void {
    this.#appends.push({ message, mustSync: this.#mustSync(message) });
  }

  /**
   * How many of `count` new entries should go first. Callers that ask again when they are answered may all come to be of one group:
   * then the disk waits for them and they for the disk. Where the disk is the quicker one, half of them go ahead, and from then on
   * it works for one half while the other is applied and asks again.
   */
  firstOf(count: number): number {
    if (this.#saving || count < 2 * largeGroupMin) return count;
    const idleMs = this.#options.clock.nowMs() - this.#savedMs;
    return this.#tookMs < idleMs && idleMs < idleMsMax ? count >>> 1 : count;
  }

  /** Starts the next group when none is under way. */
  save(): void {
    if (this.#saving || this.#stopped || this.#appends.length === 0) return;
    if (!this.#appends.some((append) => append.mustSync)) {
      this.#answerUnsynced();
      return;
    }
    this.#saving = true;
    this.#startedMs = this.#options.clock.nowMs();
    const group = this.#appends.map((append) => append.message);
    this.#appends = [];
    this.#saveGroup(group).then(
      () => this.#saved(group),
      (error) => this.#options.onFatal(error),
    );
  }

  /** Nothing is written or delivered any more. */
  halt(): void {
    this.#stopped = true;
  }

  /** Halts; resolves when the group under way is on disk. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#saving) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /** Entries, snapshots, a new term or vote must be durable before anything is answered; a mere commit index need not be. */
  #mustSync(message: Message): boolean {
    const hardState = hardStateOf(message);
    const promised =
      hardState !== undefined && (hardState.term !== this.#promised.term || hardState.vote !== this.#promised.vote);
    if (hardState !== undefined) this.#promised = hardState;
    return promised || message.entries.length > 0 || message.snapshot !== undefined;
  }

  /**
   * Nothing waits that must be durable, and everything before is: what these appends allow may be answered now. The newest commit
   * index stays, for the next group to take along.
   */
  #answerUnsynced(): void {
    const appends = this.#appends;
    const last = appends.findLast(({ message }) => hardStateOf(message) !== undefined);
    this.#appends = last === undefined ? [] : [{ message: { ...last.message, responses: [] }, mustSync: false }];
    for (const { message } of appends) this.#options.deliver(message.responses);
  }

  async #saveGroup(group: readonly Message[]): Promise<void> {
    const { wal, crash, installSnapshot } = this.#options;
    crash.hit('raftBeforeSave');
    for (const message of group) {
      if (message.snapshot !== undefined) await installSnapshot(message);
      wal.append(hardStateOf(message), message.entries);
    }
    await wal.sync();
    crash.hit('raftAfterSave');
  }

  #saved(group: readonly Message[]): void {
    this.#saving = false;
    if (this.#stopped) {
      this.#idle?.();
      return;
    }
    this.#savedMs = this.#options.clock.nowMs();
    this.#tookMs = this.#savedMs - this.#startedMs;
    const { storage, crash, deliver, saved, onFatal } = this.#options;
    try {
      for (const message of group) {
        if (message.entries.length > 0) storage.append(message.entries);
        const hardState = hardStateOf(message);
        if (hardState !== undefined) storage.setHardState(hardState);
      }
      this.#saveLargeGroup();
      crash.hit('raftBeforeSendFollower');
      for (const message of group) deliver(message.responses);
      crash.hit('raftBeforeAdvance');
      saved();
    } catch (error) {
      onFatal(error);
    }
  }

  /** The disk works on what has gathered while what it has just done is applied. */
  #saveLargeGroup(): void {
    let entries = 0;
    for (const { message } of this.#appends) entries += message.entries.length;
    if (entries >= largeGroupMin) this.save();
  }
}

/** The hard state an append carries; absent when term, vote and commit are all unset. */
function hardStateOf(message: Message): HardState | undefined {
  if (message.term === 0 && message.vote === 0n && message.commit === 0) return undefined;
  return { term: message.term, vote: message.vote, commit: message.commit };
}
