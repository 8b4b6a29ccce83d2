import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EndpointError, grpcTarget, isLoopback, parseEndpoint } from './endpoint.ts';

describe('parseEndpoint', () => {
  test.each([
    ['127.0.0.1:2379', { host: '127.0.0.1', port: 2379, security: 'either' }, 'dns:127.0.0.1:2379'],
    ['localhost:1', { host: 'localhost', port: 1, security: 'either' }, 'dns:localhost:1'],
    ['http://a.example:2379', { host: 'a.example', port: 2379, security: 'plain' }, 'dns:a.example:2379'],
    ['https://a.example:2379', { host: 'a.example', port: 2379, security: 'tls' }, 'dns:a.example:2379'],
    ['HTTPS://a.example:2379', { host: 'a.example', port: 2379, security: 'tls' }, 'dns:a.example:2379'],
    ['http://a.example:2379/', { host: 'a.example', port: 2379, security: 'plain' }, 'dns:a.example:2379'],
    ['[::1]:2379', { host: '::1', port: 2379, security: 'either' }, 'dns:[::1]:2379'],
    ['http://[fe80::1%eth0]:2379', { host: 'fe80::1%eth0', port: 2379, security: 'plain' }, 'dns:[fe80::1%eth0]:2379'],
    ['unix:///run/etcd.sock', { host: '/run/etcd.sock', port: 0, security: 'either' }, 'unix:/run/etcd.sock'],
    ['unix:/run/etcd.sock', { host: '/run/etcd.sock', port: 0, security: 'either' }, 'unix:/run/etcd.sock'],
    ['unix://localhost:42', { host: 'localhost:42', port: 0, security: 'either' }, 'unix:localhost:42'],
    ['unixs:///run/etcd.sock', { host: '/run/etcd.sock', port: 0, security: 'tls' }, 'unix:/run/etcd.sock'],
  ] as const)('reads %s', (text, parsed, target) => {
    expect(parseEndpoint(text)).toEqual({ text, ...parsed });
    expect(grpcTarget(parseEndpoint(text))).toBe(target);
  });

  test.each([
    ['', 'expected host:port'],
    ['localhost', 'expected host:port'],
    ['bogus host:2379', 'expected host:port'],
    ['::1:2379', 'expected host:port'],
    ['http://localhost', 'expected host:port'],
    ['localhost:0', 'port out of range'],
    ['localhost:65536', 'port out of range'],
    ['ftp://localhost:21', 'unknown scheme ftp'],
  ])('refuses %j', (text, reason) => {
    expect(() => parseEndpoint(text)).toThrow(new EndpointError(text, reason));
  });

  test('never throws anything but EndpointError', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseEndpoint(text);
        } catch (error) {
          expect(error).toBeInstanceOf(EndpointError);
        }
      }),
    );
  });
});

test('only addresses of this machine are loopback', () => {
  const loopback = ['127.0.0.1:1', '127.3.2.1:1', 'localhost:1', '[::1]:1', 'unix:///a'];
  const remote = ['10.0.0.1:1', '[fe80::1]:1', 'localhost.example:1', '1.127.0.0:1'];
  expect(loopback.map(parseEndpoint).filter(isLoopback)).toHaveLength(loopback.length);
  expect(remote.map(parseEndpoint).filter(isLoopback)).toEqual([]);
});
