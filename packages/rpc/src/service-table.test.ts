import { services } from '@quorate/proto';
import { expect, test } from 'vitest';
import { serviceHandlers, splitPath, unknownMethodText } from './service-table.ts';

test('every method gets its path, kind and codecs from the description', () => {
  const [watch] = serviceHandlers(services.watch, { watch: () => {} });
  expect(watch).toMatchObject({
    kind: 'bidi',
    path: '/etcdserverpb.Watch/Watch',
    request: services.watch.methods.watch.request,
    response: services.watch.methods.watch.response,
  });
  const kinds = serviceHandlers(services.maintenance, { status: () => {}, snapshot: () => {} });
  expect(kinds.map(({ kind, path }) => [kind, path])).toEqual([
    ['unary', '/etcdserverpb.Maintenance/Status'],
    ['serverStream', '/etcdserverpb.Maintenance/Snapshot'],
  ]);
});

test('methods without a handler are left out', () => {
  const methods = serviceHandlers(services.kv, { put: () => {} });
  expect(methods.map(({ path }) => path)).toEqual(['/etcdserverpb.KV/Put']);
});

test('paths split at the last slash', () => {
  expect(splitPath('/a.B/C')).toEqual({ service: 'a.B', method: 'C' });
  expect(splitPath('/a/b/C')).toEqual({ service: 'a/b', method: 'C' });
  expect(splitPath('/C')).toBeUndefined();
  expect(splitPath('')).toBeUndefined();
});

test('unknown paths are described as Go describes them', () => {
  const known = new Set(['a.B']);
  expect(unknownMethodText('/a.B/C', known)).toBe('unknown method C for service a.B');
  expect(unknownMethodText('/x.Y/C', known)).toBe('unknown service x.Y');
  expect(unknownMethodText('nonsense', known)).toBe('malformed method name: "nonsense"');
});
