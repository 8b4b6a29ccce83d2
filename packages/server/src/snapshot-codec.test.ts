import { allBuckets, type Backend, MemoryBackendFactory } from '@quorate/backend';
import { CorruptionError } from '@quorate/base';
import { Header } from '@quorate/proto';
import { crc32c } from '@quorate/wal';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeSnapshot, SnapshotDecoder, type SnapshotRow } from './snapshot-codec.ts';

const header = Header.create({ format: 1, clusterId: 5n, index: 9, term: 2 });

async function encoded(backend: Backend): Promise<Buffer> {
  const view = await backend.openView();
  const chunks: Buffer[] = [];
  for await (const chunk of encodeSnapshot(view, header, crc32c, () => Promise.resolve())) chunks.push(chunk);
  view.close();
  return Buffer.concat(chunks);
}

function decoded(bytes: Buffer, chunkBytes: number): { rows: SnapshotRow[]; header: Header | undefined } {
  const result: { rows: SnapshotRow[]; header: Header | undefined } = { rows: [], header: undefined };
  const decoder = new SnapshotDecoder(
    {
      onHeader: (found) => {
        result.header = found;
      },
      onRows: (rows) => result.rows.push(...rows),
    },
    crc32c,
  );
  for (let at = 0; at < bytes.length; at += chunkBytes) decoder.push(bytes.subarray(at, at + chunkBytes));
  decoder.finish();
  return result;
}

async function sample(rowCount: number): Promise<Backend> {
  const backend = await new MemoryBackendFactory().open('s');
  for (let i = 0; i < rowCount; i++) {
    const bucket = allBuckets[i % allBuckets.length]!;
    backend.put(bucket, `key${i}\0\xff`, Buffer.alloc(i % 700, i));
  }
  await backend.commit().done;
  return backend;
}

describe('a snapshot', () => {
  test('carries every row of every bucket, whatever the sizes of its chunks', async () => {
    const backend = await sample(2_000);
    const bytes = await encoded(backend);
    for (const chunkBytes of [1_000, 7_919, bytes.length]) {
      const { rows, header: found } = decoded(bytes, chunkBytes);
      expect(found).toEqual(header);
      expect(rows).toHaveLength(2_000);
      for (const row of rows) expect(backend.get(row.bucket, row.key)?.equals(row.value)).toBe(true);
    }
  });

  test('of nothing is whole too', async () => {
    expect(decoded(await encoded(await sample(0)), 10).rows).toEqual([]);
  });

  test('with any byte changed or any part missing is refused', async () => {
    const bytes = await encoded(await sample(60));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
        const damaged = cut ? bytes.subarray(0, at) : Buffer.from(bytes);
        if (!cut) damaged[at] = damaged[at]! ^ flip;
        expect(() => decoded(damaged, 512)).toThrow(CorruptionError);
        return Promise.resolve();
      }),
      { numRuns: 300 },
    );
  });

  test('with a frame doubled, or bytes behind its end, is refused', async () => {
    const bytes = await encoded(await sample(5));
    expect(() => decoded(Buffer.concat([bytes, Buffer.from([0])]), 100)).toThrow(CorruptionError);
    const first = bytes.readUInt32LE(9) + 9;
    const rowsAt = 8 + first;
    const rowsEnd = rowsAt + 9 + bytes.readUInt32LE(rowsAt + 1);
    const doubled = Buffer.concat([bytes.subarray(0, rowsEnd), bytes.subarray(rowsAt)]);
    expect(() => decoded(doubled, 100)).toThrow(CorruptionError);
  });
});
