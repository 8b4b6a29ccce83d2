/**
 * When to commit: some time after a change was staged, or at once when many are. The write-ahead log holds the truth until then,
 * so nobody waits for it; but the log may only be released up to what the store holds durably, and this knows how far that is.
 *
 * A commit that fails, or does not finish in time, ends the process: the store can no longer be trusted to follow the log.
 */
import { type Clock, StorageError, type Timer } from '@quorate/base';
import type { Backend } from './backend.ts';

export interface CommitScheduleOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  /** Longest time in milliseconds that a change stays staged. Default 100 (etcd --backend-batch-interval). */
  readonly intervalMs?: number;
  /** Staged operations that are committed without waiting. Default 10,000 (etcd --backend-batch-limit). */
  readonly opsMax?: number;
  /** Milliseconds after which an unfinished commit is fatal. Default 60,000. */
  readonly deadlineMs?: number;
  /** The mark of what the backend held when it was opened. Default 0. */
  readonly durableMark?: number;
  /** Called once, with a StorageError or what the backend failed with. The process must end. */
  readonly onFatal: (error: unknown) => void;
}

export class CommitSchedule {
  readonly #options: CommitScheduleOptions;
  readonly #intervalMs: number;
  readonly #opsMax: number;
  readonly #deadlineMs: number;
  /** The mark of everything staged so far. */
  #mark: number;
  #durableMark: number;
  #timer: Timer | undefined;
  #deadline: Timer | undefined;
  /** The commit under way, and the one that follows it. */
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #stopped = false;
  #failed = false;

  constructor(options: CommitScheduleOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs ?? 100;
    this.#opsMax = options.opsMax ?? 10_000;
    this.#deadlineMs = options.deadlineMs ?? 60_000;
    this.#durableMark = options.durableMark ?? 0;
    this.#mark = this.#durableMark;
  }

  /** Highest mark known to be durable: everything staged up to it survives a loss of power. Never moves back. */
  get durableMark(): number {
    return this.#durableMark;
  }

  /** Changes up to `mark` are staged: the consistent index, after each batch of entries. Cheap. Marks never move back. */
  touched(mark: number): void {
    this.#mark = Math.max(this.#mark, mark);
    if (this.#stopped) return;
    if (this.#options.backend.stagedCount >= this.#opsMax) this.#commitInBackground();
    else if (this.#options.backend.stagedCount > 0) this.#arm();
  }

  /** Commits everything staged so far and resolves with {@link durableMark} once it is durable. */
  async commitDurably(): Promise<number> {
    await this.#commit();
    return this.#durableMark;
  }

  /** Stops committing; resolves when the commit under way is finished. What is staged stays staged. */
  async close(): Promise<void> {
    this.#stop();
    await this.#next?.catch(() => {});
    await this.#running?.catch(() => {});
    this.#deadline?.cancel();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#running !== undefined) return;
    this.#timer = this.#options.clock.after(this.#intervalMs, () => {
      this.#timer = undefined;
      this.#commitInBackground();
    });
  }

  #commitInBackground(): void {
    // While one runs nothing is gained by queueing another: its end looks at what was staged meanwhile.
    if (this.#running !== undefined || this.#stopped) return;
    this.#commit().catch(() => {});
  }

  /** One at a time; whoever asks during one shares the next. */
  #commit(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#run();
      return this.#running;
    }
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.#run();
      return this.#running;
    });
    return this.#next;
  }

  async #run(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    // The backend may be busy with a commit of somebody else; ours takes at least what is staged now.
    const mark = this.#mark;
    this.#watch(2);
    try {
      await this.#options.backend.commit().durable;
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#deadline?.cancel();
      this.#deadline = undefined;
    }
    this.#durableMark = Math.max(this.#durableMark, mark);
    this.#running = undefined;
    if (this.#next === undefined) this.touched(this.#mark);
  }

  /**
   * Two half deadlines, one after the other: after a process was stopped (SIGSTOP, a debugger, a suspended machine) the first timer
   * comes before the news of a commit that finished meanwhile, the second does not.
   */
  #watch(halves: number): void {
    this.#deadline = this.#options.clock.after(this.#deadlineMs / 2, () => {
      if (halves > 1) {
        this.#watch(halves - 1);
        return;
      }
      this.#fail(new StorageError('backend', 'sync', 'a commit does not finish', { deadlineMs: this.#deadlineMs }));
    });
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#stop();
    this.#options.onFatal(error);
  }

  #stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
