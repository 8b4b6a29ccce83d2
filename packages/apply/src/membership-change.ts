/** What an entry of raft's log that changes the configuration means for the list of members. */
import { CorruptionError, type MemberId } from '@quorate/base';
import { ConfChange, ConfChangeType, ConfChangeV2, type Entry, EntryType, KvError, MemberRecord } from '@quorate/proto';

/** One change of the list of members. */
export type MembershipChange =
  | { readonly kind: 'add'; readonly member: MemberRecord }
  | { readonly kind: 'promote'; readonly id: MemberId }
  | { readonly kind: 'update'; readonly id: MemberId; readonly peerUrls: readonly string[] }
  | { readonly kind: 'remove'; readonly id: MemberId };

/**
 * Reads the change out of the entry; undefined for one that concerns raft alone (leaving a joint configuration). Throws KvError
 * notCapable for several changes at once, which no API makes, and CorruptionError when the entry says two things.
 */
export function membershipChangeOf(entry: Entry): MembershipChange | undefined {
  if (entry.type === EntryType.ENTRY_CONF_CHANGE) {
    const { type, nodeId, context } = ConfChange.decode(entry.data);
    return changeOf(type, nodeId, recordOf(entry, nodeId, context));
  }
  const { changes, context } = ConfChangeV2.decode(entry.data);
  const [change, ...more] = changes;
  if (change === undefined) return undefined;
  if (more.length > 0) throw new KvError('notCapable');
  return changeOf(change.type, change.nodeId, recordOf(entry, change.nodeId, context));
}

/** The context describes the member; without one only its id is known. */
function recordOf(entry: Entry, id: MemberId, context: Buffer): MemberRecord {
  if (context.length === 0) return MemberRecord.create({ id });
  const record = MemberRecord.decode(context);
  if (record.id !== id) {
    throw new CorruptionError('wal', 'configuration change describes another member', {
      index: entry.index,
      changes: id,
      describes: record.id,
    });
  }
  return record;
}

function changeOf(type: number, id: MemberId, record: MemberRecord): MembershipChange {
  switch (type) {
    case ConfChangeType.CONF_CHANGE_ADD_NODE:
      if (record.isPromote) return { kind: 'promote', id };
      return { kind: 'add', member: { ...record, isLearner: false } };
    case ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE:
      return { kind: 'add', member: { ...record, isLearner: true, isPromote: false } };
    case ConfChangeType.CONF_CHANGE_REMOVE_NODE:
      return { kind: 'remove', id };
    case ConfChangeType.CONF_CHANGE_UPDATE_NODE:
      return { kind: 'update', id, peerUrls: record.peerUrls };
    default:
      throw new KvError('notCapable');
  }
}
