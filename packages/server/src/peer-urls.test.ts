import { KvError } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { checkedPeerUrls } from './peer-urls.ts';

test('URLs are trimmed and sorted', () => {
  expect(checkedPeerUrls([' http://b:2', 'HTTP://a.example:1 ', 'http://[::1]:3'])).toEqual([
    'http://[::1]:3',
    'http://a.example:1',
    'http://b:2',
  ]);
});

describe('what no member can be reached at is refused', () => {
  test.each([
    [[]],
    [['']],
    [['a:1']],
    [['http://a']],
    [['http://:1']],
    [['http://a:b']],
    [['http://a:65536']],
    [['http://a:1/']],
    [['http://a:1/path']],
    [['http://a:1?x']],
    [['http://user@a:1']],
    [['http://::1:1']],
    [['unix://a:1']],
    [['http://a:1', 'http://b']],
  ])('%j', (urls) => {
    expect(() => checkedPeerUrls(urls)).toThrow(new KvError('memberBadUrls'));
  });
});

test('peer URLs may be https', () => {
  expect(checkedPeerUrls(['HTTPS://b:1', 'http://a:1'])).toEqual(['http://a:1', 'https://b:1']);
});
