import { type DiskFile, MemoryDisk } from '@quorate/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageReader } from './page-reader.ts';

const pageSize = 4_096;
const bytes = Buffer.from(Array.from({ length: 1_300_000 }, (_, i) => (i * 31) >>> 3));

async function fileOf(content: Buffer): Promise<DiskFile> {
  const file = await new MemoryDisk().create('db');
  await file.write(0, content);
  return file;
}

test('pages and any bytes are those of the file, in whatever order they are asked for, and fewer at its end', async () => {
  const file = await fileOf(bytes);
  const asked = fc.record({ page: fc.nat(320), position: fc.nat(bytes.length + 10), length: fc.nat(300_000) });
  await fc.assert(
    fc.asyncProperty(fc.array(asked, { minLength: 1, maxLength: 20 }), async (sequence) => {
      const reader = new PageReader(file, pageSize);
      for (const { page, position, length } of sequence) {
        const ofFile = bytes.subarray(page * pageSize, (page + 1) * pageSize);
        expect((await reader.page(page)).equals(ofFile)).toBe(true);
        expect(reader.held(page)?.equals(ofFile)).toBe(true);
        expect((await reader.read(position, length)).equals(bytes.subarray(position, position + length))).toBe(true);
      }
    }),
    { numRuns: 50 },
  );
});
