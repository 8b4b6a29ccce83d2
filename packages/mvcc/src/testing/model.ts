/** What a store must do, said naively: every version ever written, and filters over them. */
import type { Key } from '@quorate/base';
import { KeyValue } from '@quorate/proto';
import { crc32c } from './crc32c.ts';

export interface ModelVersion {
  readonly key: Key;
  readonly main: number;
  readonly sub: number;
  readonly tombstone: boolean;
  readonly created: number;
  readonly version: number;
  readonly value: string;
  readonly lease: bigint;
}

export interface ModelWrite {
  readonly put?: { readonly key: Key; readonly value: string; readonly lease: bigint };
  readonly deleteRange?: { readonly key: Key; readonly end: Key };
}

export class Model {
  current = 1;
  compacted = -1;
  versions: ModelVersion[] = [];

  clone(): Model {
    const copy = new Model();
    copy.current = this.current;
    copy.compacted = this.compacted;
    copy.versions = [...this.versions];
    return copy;
  }

  /** Returns per write the number of keys written or deleted. */
  write(writes: readonly ModelWrite[]): number[] {
    const main = this.current + 1;
    let sub = 0;
    const counts = writes.map(({ put, deleteRange }) => {
      if (put !== undefined) {
        const before = this.newest(put.key, main);
        const alive = before !== undefined && !before.tombstone;
        const generation = alive
          ? { created: before.created, version: before.version + 1 }
          : { created: main, version: 1 };
        this.versions.push({ ...put, main, sub: sub++, tombstone: false, ...generation });
        return 1;
      }
      const keys =
        deleteRange === undefined ? [] : this.alive(deleteRange.key, deleteRange.end, main).map((v) => v.key);
      for (const key of keys) {
        const end = { created: 0, version: 0, value: '', lease: 0n };
        this.versions.push({ key, main, sub: sub++, tombstone: true, ...end });
      }
      return keys.length;
    });
    if (sub > 0) this.current = main;
    return counts;
  }

  newest(key: Key, at: number): ModelVersion | undefined {
    return this.versions.findLast((v) => v.key === key && v.main <= at);
  }

  /** Living keys of a range, in order. */
  alive(key: Key, end: Key, at: number): ModelVersion[] {
    const inRange = (k: Key): boolean => (end === '' ? k === key : k >= key && (end === '\0' || k < end));
    const keys = [...new Set(this.versions.map((v) => v.key))].filter(inRange).sort((a, b) => (a < b ? -1 : 1));
    return keys.map((k) => this.newest(k, at)).filter((v): v is ModelVersion => v !== undefined && !v.tombstone);
  }

  /** Versions that remain when compaction is through, in order of time. */
  retained(): ModelVersion[] {
    return this.versions.filter((v) => {
      if (v.main > this.compacted) return true;
      const isNewest = this.newest(v.key, this.compacted) === v;
      return isNewest && (!v.tombstone || v.main === this.compacted);
    });
  }

  /** etcd's HashKV, written from its definition. */
  hash(revision: number): number {
    const kept = new Set(this.alive('', '\0', revision));
    let hash = crc32c(Buffer.from('key'), 0);
    for (const v of this.retained()) {
      if (v.main > revision) continue;
      if (v.main <= this.compacted && kept.size > 0 && !kept.has(v)) continue;
      if (v.main === this.compacted && v.tombstone) continue;
      hash = crc32c(recordOf(v), crc32c(rowKeyOf(v), hash));
    }
    return hash;
  }
}

export function recordOf(v: ModelVersion): Buffer {
  const key = Buffer.from(v.key, 'latin1');
  if (v.tombstone) return KeyValue.encode(KeyValue.create({ key }));
  const { created: createRevision, main: modRevision, version, lease } = v;
  const value = Buffer.from(v.value);
  return KeyValue.encode(KeyValue.create({ key, createRevision, modRevision, version, value, lease }));
}

export function rowKeyOf(v: ModelVersion): Buffer {
  const bytes = Buffer.alloc(17);
  bytes.writeBigUInt64BE(BigInt(v.main), 0);
  bytes.write('_', 8);
  bytes.writeBigUInt64BE(BigInt(v.sub), 9);
  return v.tombstone ? Buffer.concat([bytes, Buffer.from('t')]) : bytes;
}
