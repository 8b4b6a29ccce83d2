import { describe, expect, test } from 'vitest';
import { parseUrl, parseUrls } from './urls.ts';

describe('a URL', () => {
  test.each([
    ['http://127.0.0.1:2379', '127.0.0.1', 2379],
    ['http://localhost:0', 'localhost', 0],
    ['http://[::1]:2379', '::1', 2379],
    ['http://:2379', '', 2379],
    ['http://host.example:80', 'host.example', 80],
  ])('%s has a host and a port', (text, host, port) => {
    expect(parseUrl(text)).toEqual({ text, scheme: text.slice(0, text.indexOf(':')), host, port });
  });

  // The words of etcd 3.5.30, seen on its command line.
  test.each([
    ['ftp://127.0.0.1:2379', 'URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:2379'],
    ['localhost:2379', 'URL scheme must be http, https, unix, or unixs: localhost:2379'],
    ['nonsense', 'URL scheme must be http, https, unix, or unixs: nonsense'],
    ['', 'URL scheme must be http, https, unix, or unixs: '],
    ['127.0.0.1:2379', 'parse "127.0.0.1:2379": first path segment in URL cannot contain colon'],
    ['http://127.0.0.1', 'URL address does not have the form "host:port": http://127.0.0.1'],
    ['http://127.0.0.1:x', 'parse "http://127.0.0.1:x": invalid port ":x" after host'],
    ['http://127.0.0.1:2379/x', 'URL must not contain a path: http://127.0.0.1:2379/x'],
    ['http://127.0.0.1:2379/', 'URL must not contain a path: http://127.0.0.1:2379/'],
  ])('%s is refused as etcd refuses it', (text, message) => {
    expect(() => parseUrl(text)).toThrow(message);
  });

  test('schemes that etcd serves and this does not are refused with a word about it', () => {
    expect(() => parseUrl('unixs://a:1')).toThrow('unixs is not supported');
    expect(() => parseUrl('unix://a:1')).toThrow('unix is not supported');
  });

  test('a port beyond 65535 is refused', () => {
    expect(() => parseUrl('http://127.0.0.1:65536')).toThrow('invalid port');
  });
});

test('a list is sorted and holds each URL once', () => {
  const list = parseUrls('http://b:1, http://a:2,http://b:1');
  expect(list.map((url) => url.text)).toEqual(['http://a:2', 'http://b:1']);
  expect(parseUrls('')).toEqual([]);
});
