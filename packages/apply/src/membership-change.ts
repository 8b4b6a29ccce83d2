/** What an entry of raft's log that changes the configuration means for the list of members. */
import { CorruptionError, type MemberId, noMember } from '@quorate/base';
import { ConfChange, ConfChangeType, ConfChangeV2, type Entry, EntryType, KvError, MemberRecord } from '@quorate/proto';

/** One change of the list of members. */
export type MembershipChange =
  /** `learnersMax`: most learners there may be after it; 0 for any number. */
  | { readonly kind: 'add'; readonly member: MemberRecord; readonly learnersMax: number }
  | { readonly kind: 'promote'; readonly id: MemberId }
  | { readonly kind: 'update'; readonly id: MemberId; readonly peerUrls: readonly string[] }
  | { readonly kind: 'remove'; readonly id: MemberId };

/** Whose caller waits for a change, and under which id; undefined when nobody's does. */
export interface ChangeOrigin {
  readonly proposer: MemberId;
  readonly requestId: number;
}

/** Who proposed the change in the entry. Throws CorruptionError like {@link membershipChangeOf}. */
export function changeOriginOf(entry: Entry): ChangeOrigin | undefined {
  if (entry.type !== EntryType.ENTRY_CONF_CHANGE) return undefined;
  const { id, nodeId, context } = ConfChange.decode(entry.data);
  const { proposer } = recordOf(entry, nodeId, context);
  return proposer === noMember ? undefined : { proposer, requestId: id };
}

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
      return { kind: 'add', member: newMember(record, false), learnersMax: 0 };
    case ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE:
      return { kind: 'add', member: newMember(record, true), learnersMax: record.learnersMax };
    case ConfChangeType.CONF_CHANGE_REMOVE_NODE:
      return { kind: 'remove', id };
    case ConfChangeType.CONF_CHANGE_UPDATE_NODE:
      return { kind: 'update', id, peerUrls: record.peerUrls };
    default:
      throw new KvError('notCapable');
  }
}

/** What the store keeps of a member that is added: nothing that only the change was about, and nothing it has to say itself. */
function newMember({ id, name, peerUrls, clientUrls }: MemberRecord, isLearner: boolean): MemberRecord {
  return MemberRecord.create({ id, name, peerUrls, clientUrls, isLearner });
}
