import { describe, expect, test } from 'vitest';
import { StartError } from '../start-error.ts';
import { foundingMembers } from './founding.ts';

const flags = { name: 'a', initialCluster: 'a=http://x:1,b=http://y:2', advertisePeerUrls: 'http://x:1' };

describe('the members of a restored cluster', () => {
  test('are those of --initial-cluster, with their URLs sorted', () => {
    expect(foundingMembers(flags)).toEqual([
      { name: 'a', peerUrls: ['http://x:1'] },
      { name: 'b', peerUrls: ['http://y:2'] },
    ]);
    const tls = { ...flags, initialCluster: 'a=https://x:1', advertisePeerUrls: 'https://x:1' };
    expect(foundingMembers(tls)).toEqual([{ name: 'a', peerUrls: ['https://x:1'] }]);
    const two = { ...flags, initialCluster: 'a=http://x:2,a=http://x:1', advertisePeerUrls: 'http://x:2,http://x:1' };
    expect(foundingMembers(two)).toEqual([{ name: 'a', peerUrls: ['http://x:1', 'http://x:2'] }]);
  });

  test.each([
    ['do not hold this member', { name: 'c' }, 'couldn\'t find local name "c" in the initial cluster configuration'],
    ['have a URL twice', { initialCluster: 'a=http://x:1,b=http://x:1' }, 'has duplicate url'],
    [
      'have other URLs than this member advertises',
      { advertisePeerUrls: 'http://x:2' },
      '--initial-cluster has a=http://x:1 but --initial-advertise-peer-urls=http://x:2',
    ],
    [
      'are no list of names and URLs',
      { initialCluster: 'http' },
      '--initial-cluster is a list of name=http://host:port',
    ],
    [
      'have something else in the place of a URL',
      { initialCluster: 'a=x' },
      '--initial-cluster: "x" is not a list of URLs',
    ],
    [
      'advertise something else than URLs',
      { advertisePeerUrls: '' },
      '--initial-advertise-peer-urls: "" is not a list',
    ],
  ])('are refused when they %s', (_, wrong, message) => {
    const attempt = (): unknown => foundingMembers({ ...flags, ...wrong });
    expect(attempt).toThrow(StartError);
    expect(attempt).toThrow(message);
  });
});
