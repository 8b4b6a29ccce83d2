/**
 * Configuration changes as scripts write them: v1 adds voter 1, l2 learner 2, r3 removes 3, u4 updates 4. Also a codec that stores
 * them as this text, so that the tests of the core need no wire format.
 */
import type { ConfChange, ConfChangeSingle, ConfChangeV2, Entry } from '@quorate/proto';
import { asV2, leaveJointChange } from '../confchange.ts';
import { type ConfChangeCodec, ConfChangeType, EntryType, emptyBytes } from '../types.ts';

const letters: Record<string, number> = {
  v: ConfChangeType.CONF_CHANGE_ADD_NODE,
  r: ConfChangeType.CONF_CHANGE_REMOVE_NODE,
  u: ConfChangeType.CONF_CHANGE_UPDATE_NODE,
  l: ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE,
};

/** Reads `v1 l2 r3`. */
export function parseChanges(text: string): ConfChangeSingle[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const type = letters[word[0]!];
      if (type === undefined) throw new Error(`unknown change: ${word}`);
      return { type, nodeId: BigInt(word.slice(1)) };
    });
}

export function changesToText(change: ConfChangeV2): string {
  const letterOf = (type: number): string => Object.keys(letters).find((letter) => letters[letter] === type) ?? '?';
  return change.changes.map(({ type, nodeId }) => `${letterOf(type)}${nodeId}`).join(' ');
}

export const textCodec: ConfChangeCodec = {
  v1: {
    encode: (change: ConfChange): Buffer => Buffer.from(changesToText(asV2(change))),
    decode: (bytes): ConfChange => {
      const [change] = parseChanges(Buffer.from(bytes).toString());
      if (change === undefined) throw new Error('no change');
      return { id: 0, type: change.type, nodeId: change.nodeId, context: emptyBytes };
    },
  },
  v2: {
    encode: (change: ConfChangeV2): Buffer => {
      const text = changesToText(change);
      return text === '' && change.transition === 0 ? emptyBytes : Buffer.from(`${change.transition}|${text}`);
    },
    decode: (bytes): ConfChangeV2 => {
      if (bytes.length === 0) return leaveJointChange();
      const [transition, changes] = Buffer.from(bytes).toString().split('|');
      return { transition: Number(transition), changes: parseChanges(changes!), context: emptyBytes };
    },
  },
};

/** The change in an entry written with {@link textCodec}. */
export function decodeTextChange(entry: Entry): ConfChangeV2 {
  return entry.type === EntryType.ENTRY_CONF_CHANGE
    ? asV2(textCodec.v1.decode(entry.data))
    : textCodec.v2.decode(entry.data);
}
