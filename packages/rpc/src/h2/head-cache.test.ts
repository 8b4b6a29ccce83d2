import { services } from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { serviceHandlers } from '../service-table.ts';
import { HeadCache } from './head-cache.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { encodeFields } from './hpack-encoder.ts';
import { type RequestHead, type Routes, readRequestHead } from './request-head.ts';
import { grpcFields } from './testing/raw-client.ts';

const methods = serviceHandlers(services.kv, { put: () => {}, range: () => {} });
const routes: Routes = { methods: new Map(methods.map((m) => [m.path, m])), services: new Set(['etcdserverpb.KV']) };

/** Literal with incremental indexing. */
function indexing(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x40, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

test('a cache in front of the decoder changes nothing, whatever the client does to the table', () => {
  const field = fc.oneof(
    fc.record({ kind: fc.constant('indexed' as const), index: fc.integer({ min: 62, max: 66 }) }),
    fc.record({ kind: fc.constant('indexing' as const), value: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ kind: fc.constant('literal' as const), value: fc.constantFrom('a', 'b') }),
  );
  const block = fc.record({ path: fc.constantFrom('Put', 'Range'), fields: fc.array(field, { maxLength: 2 }) });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 40 }), (blocks) => {
      const plain = new HpackDecoder(1 << 20);
      const cached = new HpackDecoder(1 << 20);
      const cache = new HeadCache();
      for (const { path, fields } of blocks) {
        const count = plain.table.count;
        const bytes = Buffer.concat([
          encodeFields(grpcFields(`/etcdserverpb.KV/${path}`)),
          ...fields.map((f) => {
            if (f.kind === 'indexing') return indexing('x-a', f.value);
            if (f.kind === 'literal') return encodeFields([['x-a', f.value]]);
            return count === 0 ? Buffer.alloc(0) : Buffer.from([0x80 | (62 + ((f.index - 62) % count))]);
          }),
        ]);
        const want = readRequestHead(plain.decode(bytes, 0, bytes.length).fields, routes, false);
        const got = cache.find(bytes, 0, bytes.length, cached.table.version) ?? decodeInto(cache, cached, bytes);
        expect([got?.path, got?.get('x-a'), got?.method]).toEqual([want?.path, want?.get('x-a'), want?.method]);
        expect(cached.table.count).toBe(plain.table.count);
      }
    }),
    { numRuns: 500 },
  );
});

function decodeInto(cache: HeadCache, decoder: HpackDecoder, bytes: Buffer): RequestHead | undefined {
  const before = decoder.table.version;
  const head = readRequestHead(decoder.decode(bytes, 0, bytes.length).fields, routes, false);
  if (head !== undefined && decoder.table.version === before) {
    cache.add(bytes, decoder.usedDynamicTable ? before : undefined, head);
  }
  return head;
}

test('it forgets the oldest of many blocks, and never keeps long ones', () => {
  const cache = new HeadCache();
  const head = {} as RequestHead;
  for (let i = 0; i < 9; i++) cache.add(Buffer.from([i]), undefined, head);
  cache.add(Buffer.alloc(600), undefined, head);
  const found = (bytes: Buffer): boolean => cache.find(bytes, 0, bytes.length, 0) !== undefined;
  expect([found(Buffer.from([0])), found(Buffer.from([8])), found(Buffer.alloc(600))]).toEqual([false, true, false]);
});
