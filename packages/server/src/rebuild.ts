/**
 * Rebuilding a member whose store is damaged, before it takes part in anything: the state of another member takes the place of
 * its own. Log, term, vote and identity stay as they are, so nothing that this member promised is forgotten: an entry it
 * acknowledged is still in its log, and a vote it gave is still given. Only what it computed from the log is replaced, by what
 * another computed from the same log. Raft does not run meanwhile, so the member neither votes, campaigns nor acknowledges.
 *
 *   1. the other's state into `db.next`, whole and durable           crash: nothing happened; what was received is junk
 *   2. a note that the store is damaged, durable (damage.ts)         crash: every start from here on refuses or rebuilds
 *   3. the damaged store moves aside, to `db.damaged`                crash: as before
 *   4. snapshot mark into the log, synced                            crash: as before; the log only knows a later beginning
 *   5. `db.next` becomes `db`                                        crash: rebuilt once more
 *   6. the note goes
 *
 * The state must stand at or beyond everything this member knows to be committed. Where its own log goes on behind that state, the
 * entries stay and are applied as after any start; where the log contradicts it, what contradicts was never committed.
 */
import { type ClusterId, CorruptionError, FatalError, formatId, nextTurn } from '@quorate/base';
import { ConfState, type SnapshotMetadata } from '@quorate/proto';
import type { Wal, WalRecovery } from '@quorate/wal';
import type { MemberConfig } from './config.ts';
import { note, removeNote } from './damage.ts';
import type { PeerIdentity, RemoteInfo } from './peer-transport.ts';
import type { Runtime } from './runtime.ts';
import { Snapshotter, storeName } from './snapshotter.ts';
import { StartError } from './start-error.ts';

/** Where a damaged store is kept, for those who want to know what happened to it. Only the last one. */
export const damagedStoreName = 'db.damaged';

/** How long one member has to say what it knows, in milliseconds. */
const answerLimitMs = 1_000;
/** How long to look for a member that has the state, in milliseconds, and the pause between two rounds. */
const searchLimitMs = 30_000;
const searchPauseMs = 500;

const noteText = 'being rebuilt from the other members';

export interface RebuildParts {
  readonly config: MemberConfig;
  readonly runtime: Runtime;
  readonly wal: Wal;
  readonly recovery: WalRecovery;
}

/**
 * Puts another member's state in the place of the store. A member that has no others, and a log that was never cut, only moves its
 * store aside: the log makes it again. Rejects with StartError, the store untouched, when nobody has a state for it.
 */
export async function rebuildStore(parts: RebuildParts): Promise<void> {
  const { config, runtime, wal, recovery } = parts;
  const { backends, clock, disk, checksum, crash, logger, meter, onFatal } = runtime;
  const { clusterId } = recovery.metadata;
  const urls = config.initialCluster.filter(({ name }) => name !== config.name).flatMap(({ peerUrls }) => peerUrls);
  if (urls.length === 0) {
    if (recovery.snapshot !== undefined) throw nobodyToAsk();
    logger.warn('moving the store aside; the log makes it again', { movedTo: damagedStoreName });
    await note(disk, noteText);
    await moveAside(runtime);
    await removeNote(disk);
    return;
  }
  const pause = (): Promise<void> => nextTurn(clock);
  const snapshotter = new Snapshotter({ backends, clusterId, checksum, crash, logger, clock, meter, pause, onFatal });
  const { index, term, confState } = await new Search(parts, urls, snapshotter).receive();
  await note(disk, noteText);
  await moveAside(runtime);
  wal.append(undefined, [], { index, term, confState: ConfState.encode(confState ?? ConfState.create()) });
  await wal.sync();
  crash.hit('snapshotAfterWalRecord');
  await snapshotter.swap(index);
  await removeNote(disk);
  logger.warn('rebuilt the store from another member', { index, damaged: damagedStoreName });
}

async function moveAside({ backends }: Runtime): Promise<void> {
  if (await backends.exists(storeName)) await backends.replace(storeName, damagedStoreName);
}

function nobodyToAsk(): StartError {
  return new StartError(
    '--rebuild-store: --initial-cluster names no other member to take the state from; name those that run now, or restore a backup',
  );
}

interface Candidate {
  readonly url: string;
  readonly info: RemoteInfo;
}

/** Looks for a member that has the state, and takes it in. */
class Search {
  readonly #parts: RebuildParts;
  readonly #urls: Set<string>;
  readonly #snapshotter: Snapshotter;
  /** The state must not be older. */
  readonly #floor: number;

  constructor(parts: RebuildParts, urls: readonly string[], snapshotter: Snapshotter) {
    const { hardState, snapshot } = parts.recovery;
    this.#parts = parts;
    this.#urls = new Set(urls);
    this.#snapshotter = snapshotter;
    this.#floor = Math.max(hardState.commit, snapshot?.index ?? 0);
  }

  async receive(): Promise<SnapshotMetadata> {
    const { clock } = this.#parts.runtime;
    const deadlineMs = clock.nowMs() + searchLimitMs;
    for (;;) {
      for (const candidate of await this.#candidates()) {
        const received = await this.#receiveFrom(candidate);
        if (received !== undefined) return received;
      }
      if (clock.nowMs() >= deadlineMs) throw this.#nobody();
      await new Promise<void>((resolve) => void clock.after(searchPauseMs, resolve));
    }
  }

  /** Members of this cluster that are far enough, the leader first, then by how far they are. */
  async #candidates(): Promise<Candidate[]> {
    const { clusterId, memberId } = this.#parts.recovery.metadata;
    const answers = await Promise.all([...this.#urls].map((url) => this.#ask(url)));
    const known = answers.filter((answer) => answer !== undefined);
    for (const { info } of known) this.#learn(info, clusterId);
    const rank = ({ info }: Candidate): number => (info.leader === info.memberId ? Infinity : info.appliedIndex);
    return known
      .filter(({ info }) => info.clusterId === clusterId && info.memberId !== memberId)
      .filter(({ info }) => info.appliedIndex >= this.#floor)
      .sort((a, b) => rank(b) - rank(a));
  }

  /** The flags may be older than the cluster: what members say of each other counts, too. */
  #learn(info: RemoteInfo, clusterId: ClusterId): void {
    if (info.clusterId !== clusterId) return;
    const { memberId } = this.#parts.recovery.metadata;
    for (const { id, peerUrls } of info.members) {
      if (id !== memberId) for (const url of peerUrls) this.#urls.add(url);
    }
  }

  #ask(url: string): Promise<Candidate | undefined> {
    const { peers, logger } = this.#parts.runtime;
    return peers.fetchInfo(url, answerLimitMs).then(
      (info) => ({ url, info }),
      (error: unknown) => {
        logger.debug('a member does not answer', { url, reason: String(error) });
        return undefined;
      },
    );
  }

  async #receiveFrom({ url, info }: Candidate): Promise<SnapshotMetadata | undefined> {
    const { runtime, recovery } = this.#parts;
    const own: PeerIdentity = recovery.metadata;
    try {
      const { message, chunks } = await runtime.peers.fetchState(url, { own, peer: info.memberId });
      const metadata = message.snapshot?.metadata;
      if (metadata === undefined || metadata.index < this.#floor) throw new Error('its state is too old');
      await this.#snapshotter.receive(message, chunks, () => Promise.resolve(true));
      return metadata;
    } catch (error) {
      // The own disk said no. What is wrong with the other's stream is the other's matter.
      if (error instanceof FatalError && !(error instanceof CorruptionError)) throw error;
      runtime.logger.warn('could not take the state of a member', {
        from: formatId(info.memberId),
        url,
        reason: String(error),
      });
      return undefined;
    }
  }

  #nobody(): StartError {
    return new StartError(
      `--rebuild-store: no member at ${[...this.#urls].join(', ')} gave a state at or beyond index ${this.#floor}; start a ` +
        'majority of the others first, or name in --initial-cluster those that run now. The store was left as it is',
    );
  }
}
