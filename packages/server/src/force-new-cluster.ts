/**
 * `--force-new-cluster`: a member whose companions are lost for good goes on alone, with everything it has. Its whole log counts as
 * committed: what the others had acknowledged may be in its tail, and nobody is left who could say. Behind it come the entries that
 * make this member a voter and remove all others; they take effect like any change of members. The removed ones may never come
 * back: their ids are spent.
 */
import { formatId, type Logger, type MemberId } from '@quorate/base';
import {
  ConfChange,
  ConfChangeType,
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  MemberRecord,
} from '@quorate/proto';
import type { Wal } from '@quorate/wal';

export interface ForceNewClusterOptions {
  readonly memberId: MemberId;
  readonly wal: Wal;
  readonly logger: Logger;
  /** The log behind its beginning. */
  readonly entries: readonly Entry[];
  readonly hardState: HardState;
  /** Configuration at the applied index. */
  readonly confState: ConfState;
  readonly appliedIndex: number;
}

/** Writes the changes to the log, durably, and returns the log as it is then. */
export async function forceNewCluster(
  options: ForceNewClusterOptions,
): Promise<{ readonly entries: Entry[]; readonly hardState: HardState }> {
  const { memberId, wal, logger, entries, hardState, appliedIndex } = options;
  const lastIndex = entries.at(-1)?.index ?? appliedIndex;
  const changes = changesToBeAlone(options);
  const others = changes.map(({ nodeId }) => nodeId).filter((id) => id !== memberId);
  logger.warn('forcing a new cluster of this member alone', {
    member: formatId(memberId),
    removes: others.map(formatId).join(' '),
    last: lastIndex,
  });
  const appended = changes.map(
    (change, i): Entry => ({
      term: hardState.term,
      index: lastIndex + 1 + i,
      type: EntryType.ENTRY_CONF_CHANGE,
      data: ConfChange.encode(change),
    }),
  );
  const newState = { ...hardState, commit: lastIndex + appended.length };
  wal.append(newState, appended);
  await wal.sync();
  return { entries: [...entries, ...appended], hardState: newState };
}

/**
 * Whoever may be in the configuration at the end of the log: applying refuses a change about a stranger, so that one too
 * many does no harm.
 */
function changesToBeAlone({ memberId, confState, appliedIndex, entries }: ForceNewClusterOptions): ConfChange[] {
  const voters = new Set(confState.voters);
  const others = new Set([...confState.voters, ...confState.learners]);
  for (const entry of entries) {
    if (entry.index <= appliedIndex || entry.type !== EntryType.ENTRY_CONF_CHANGE) continue;
    const { type, nodeId } = ConfChange.decode(entry.data);
    if (type === ConfChangeType.CONF_CHANGE_ADD_NODE) voters.add(nodeId);
    if (type === ConfChangeType.CONF_CHANGE_REMOVE_NODE) others.delete(nodeId);
    else others.add(nodeId);
  }
  others.delete(memberId);
  const promoted = MemberRecord.encode(MemberRecord.create({ id: memberId, isPromote: true }));
  const promotion = ConfChange.create({
    type: ConfChangeType.CONF_CHANGE_ADD_NODE,
    nodeId: memberId,
    context: promoted,
  });
  const removals = [...others].map((nodeId) =>
    ConfChange.create({ type: ConfChangeType.CONF_CHANGE_REMOVE_NODE, nodeId }),
  );
  return voters.has(memberId) ? removals : [promotion, ...removals];
}
