/** Between entries of the log and raft's configuration changes; raft itself knows no encoding. */
import { FatalError } from '@quorate/base';
import { ConfChange, ConfChangeV2, type Entry, EntryType } from '@quorate/proto';
import type { ConfChangeCodec } from '@quorate/raft';

/** How this server writes configuration changes into entries. */
export const confChangeCodec: ConfChangeCodec = { v1: ConfChange, v2: ConfChangeV2 };

/** Both kinds of entry as the general form. */
export function confChangeOf(entry: Entry): ConfChangeV2 {
  switch (entry.type) {
    case EntryType.ENTRY_CONF_CHANGE: {
      const { type, nodeId, context } = ConfChange.decode(entry.data);
      return ConfChangeV2.create({ changes: [{ type, nodeId }], context });
    }
    case EntryType.ENTRY_CONF_CHANGE_V2:
      return ConfChangeV2.decode(entry.data);
    default:
      throw new FatalError('entry is not a configuration change', { index: entry.index, type: entry.type });
  }
}
