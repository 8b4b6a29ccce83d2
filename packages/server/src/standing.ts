/**
 * Whether the cluster still knows a member: whom this one listens to, and what it does when it is not listened to itself.
 *
 * A removed member may not know that it is: it has not heard of its own removal, or it was started again from old data. It would
 * wait for a leader, ask for votes, and disturb. So everyone who applied the removal refuses it, and says why; it then stops for
 * good. A member whose data directory was wiped comes back under its old id without its vote and its log; those who know which
 * directory it had (its incarnation, a part of the replicated membership) refuse it the same way.
 */
import type { MembershipStore } from '@quorate/apply';
import { type Clock, formatId, type Logger, type MemberId } from '@quorate/base';
import { StartError } from './start-error.ts';

/** Why a member is not listened to. */
export const Refusal = { removed: 'removed', otherIncarnation: 'otherIncarnation' } as const;
export type Refusal = (typeof Refusal)[keyof typeof Refusal];

/** Who speaks, and from which data directory. */
export interface Speaker {
  readonly from: MemberId;
  readonly incarnation: bigint;
}

export interface StandingOptions {
  readonly memberId: MemberId;
  /** Of this member's data directory. */
  readonly incarnation: bigint;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The membership as applied here; undefined while a received snapshot takes its place. */
  readonly members: () => MembershipStore | undefined;
  /** Resolves when everything applied up to now survives a loss of power. */
  readonly makeDurable: () => Promise<unknown>;
  /** Whom this member refuses changed: streams of those refused are to end. */
  readonly refusalsChanged: () => void;
  /** Must end this member; called once. */
  readonly onExpelled: (error: StartError) => void;
}

/**
 * How long a member that knows of its own removal waits to hear of it from another, in milliseconds. Until somebody else knows that
 * the removal is committed, its vote may be needed to find out: of two members, the one that is left cannot lead without it.
 */
const farewellMs = 60_000;

export class Standing {
  readonly #options: StandingOptions;
  /**
   * Removed, and this member will still know that after any crash. Only then are they told, because they go for good, and with
   * them a vote: of two members, the one that is left must never again need the other's.
   */
  readonly #told = new Set<MemberId>();
  #isLeaving = false;
  #isExpelled = false;

  constructor(options: StandingOptions) {
    this.#options = options;
  }

  /** Why `speaker` is not listened to; undefined when it is. */
  refusalOf({ from, incarnation }: Speaker): Refusal | undefined {
    const members = this.#options.members();
    if (members === undefined) return undefined;
    if (this.#told.has(from)) return Refusal.removed;
    const known = members.incarnationOf(from);
    return known === 0n || known === incarnation ? undefined : Refusal.otherIncarnation;
  }

  /** Whether messages of this member go unread. */
  isRemoved(id: MemberId): boolean {
    return this.#options.members()?.wasRemoved(id) === true;
  }

  /** Another member refused this one. */
  refusedBy(peer: MemberId, refusal: Refusal): void {
    this.#options.logger.warn('a member of the cluster refuses this one', { peer: formatId(peer), reason: refusal });
    this.#expel(refusal);
  }

  /**
   * The members changed, or became known at the start. One that was removed itself waits for another to say so, and ends. One whose
   * id belongs to another data directory ends at once: it began anew while nobody who knew could be asked, and reads it in the log
   * that it is sent now.
   */
  membersChanged(): void {
    const { memberId, incarnation, clock, logger } = this.#options;
    const refusal = this.refusalOf({ from: memberId, incarnation });
    if (refusal === Refusal.otherIncarnation) {
      logger.warn('the cluster knows this member with another data directory', { member: formatId(memberId) });
      // Not in the midst of applying an entry.
      clock.soon(() => this.#expel(refusal));
      return;
    }
    this.#prepareToTell();
    if (this.#isLeaving || !this.isRemoved(memberId)) return;
    this.#isLeaving = true;
    logger.warn('this member was removed from the cluster; waiting for another to confirm it', {
      member: formatId(memberId),
      limitMs: farewellMs,
    });
    clock.after(farewellMs, () => this.#expel(Refusal.removed));
  }

  #prepareToTell(): void {
    const { members, makeDurable, refusalsChanged } = this.#options;
    const removed = (members()?.removedIds() ?? []).filter((id) => !this.#told.has(id));
    if (removed.length === 0) return;
    makeDurable().then(
      () => {
        for (const id of removed) this.#told.add(id);
        refusalsChanged();
      },
      // The disk said no, which ends the member elsewhere; or it is being stopped.
      () => {},
    );
  }

  #expel(refusal: Refusal): void {
    if (this.#isExpelled) return;
    this.#isExpelled = true;
    this.#options.onExpelled(expulsion(this.#options.memberId, refusal));
  }
}

/** What the operator is told. */
export function expulsion(memberId: MemberId, refusal: Refusal): StartError {
  const id = formatId(memberId);
  if (refusal === Refusal.removed) {
    return new StartError(
      `the member has been permanently removed from the cluster (member ${id}); the data-dir used by this member must be ` +
        'removed. To run a member here again, add it with "kvctl member add" and start it with an empty data directory and ' +
        '--initial-cluster-state=existing',
    );
  }
  return new StartError(
    `member ${id} has already been bootstrapped from another data directory; with that its vote and its log are lost. Put that ` +
      `directory back as it was, or replace the member: "kvctl member remove ${id}", "kvctl member add", and start it with an ` +
      'empty data directory and --initial-cluster-state=existing',
  );
}
