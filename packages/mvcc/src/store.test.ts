import { describe, expect, test } from 'vitest';
import { Fixture } from './testing/fixture.ts';

describe('revisions', () => {
  test('an empty store is at revision 1 and was never compacted', async () => {
    const { store } = await Fixture.open();
    expect(store.currentRevision).toBe(1);
    expect(store.compactRevision).toBe(-1);
    expect(store.keyCount).toBe(0);
    expect(store.read().range('\0', '\0')).toEqual({ rows: [], count: 0, revision: 1, next: undefined });
  });

  test('the first write gets revision 2, each further transaction one more', async () => {
    const f = await Fixture.open();
    expect(f.put('a')).toBe(2);
    expect(f.put('a')).toBe(3);
    expect(f.store.currentRevision).toBe(3);
  });
});
