import { type Backend, type Bucket, buckets, type RowRange } from '@quorate/backend';
import { FatalError } from '@quorate/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EntryBackend } from './entry-backend.ts';
import { TestBackend } from './testing/test-backend.ts';

const key = fc.constantFrom('', 'a', 'ab', 'b', 'c\xff');
const bucket = fc.constantFrom(buckets.key, buckets.meta);
const change: fc.Arbitrary<Staged> = fc.record({
  bucket,
  key,
  value: fc.option(fc.constantFrom('1', '2', ''), { nil: undefined }),
});
const asked: fc.Arbitrary<RowRange> = fc.record({
  from: key,
  to: fc.option(key, { nil: undefined }),
  limit: fc.integer({ min: 0, max: 5 }),
  reverse: fc.boolean(),
});

interface Staged {
  readonly bucket: Bucket;
  readonly key: string;
  readonly value: string | undefined;
}

function stage(backend: Backend, { bucket, key, value }: Staged): void {
  if (value === undefined) backend.remove(bucket, key);
  else backend.put(bucket, key, Buffer.from(value));
}

test('inside an entry, reads see what it wrote over what was there; behind it, nothing arrives before its end', () => {
  fc.assert(
    fc.property(
      fc.array(change),
      fc.array(change),
      bucket,
      key,
      asked,
      (before, inside, readBucket, readKey, range) => {
        const behind = new TestBackend();
        const plain = new TestBackend();
        const backend = new EntryBackend(behind);
        for (const one of before) stage(behind, one);
        for (const one of [...before, ...inside]) stage(plain, one);
        const untouched = behind.dump();
        backend.beginEntry(1);
        for (const one of inside) stage(backend, one);
        expect(backend.get(readBucket, readKey)).toEqual(plain.get(readBucket, readKey));
        expect(backend.range(readBucket, range)).toEqual(plain.range(readBucket, range));
        expect(behind.dump()).toBe(untouched);
        backend.endEntry();
        expect(behind.dump()).toBe(plain.dump());
      },
    ),
    { numRuns: 500 },
  );
});

test('between entries it is the backend behind it', async () => {
  const behind = new TestBackend();
  const backend = new EntryBackend(behind);
  backend.put(buckets.meta, 'a', Buffer.from('1'));
  backend.remove(buckets.meta, 'b');
  expect(behind.get(buckets.meta, 'a')).toEqual(Buffer.from('1'));
  expect([backend.stagedCount, backend.stagedBytes]).toEqual([2, 2]);
  behind.sizeBytes = () => 20;
  behind.sizeInUseBytes = () => 10;
  expect([backend.sizeBytes(), backend.sizeInUseBytes()]).toEqual([20, 10]);
  await backend.commit().durable;
  expect(behind.afterCrash().get(buckets.meta, 'a')).toEqual(Buffer.from('1'));
  const view = await backend.openView();
  expect(view.range(buckets.meta, { from: '' })).toHaveLength(1);
  await backend.close();
  expect(behind.closed).toBe(true);
});

test('B09: nothing is committed, viewed or closed while an entry is open, and for good when it was torn', async () => {
  const behind = new TestBackend();
  const backend = new EntryBackend(behind);
  backend.beginEntry(7);
  backend.put(buckets.meta, 'half', Buffer.from('1'));
  expect(() => backend.commit()).toThrow(FatalError);
  await expect(backend.openView()).rejects.toThrow(FatalError);
  await expect(backend.close()).rejects.toThrow(FatalError);
  expect(() => backend.beginEntry(8)).toThrow(/torn.*index=7/);
  // A commit that was asked for before and had to wait takes what the backend behind has by then.
  behind.commit();
  expect(behind.afterCrash().dump()).toBe('');
});
