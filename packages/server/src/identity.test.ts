import { formatId } from '@quorate/base';
import { expect, test } from 'vitest';
import { computeClusterId, computeMemberId } from './identity.ts';

test('the default single member has the ids etcd gives it', () => {
  const id = computeMemberId(['http://localhost:2380'], 'etcd-cluster');
  expect(formatId(id)).toBe('8e9e05c52164694d');
  expect(formatId(computeClusterId([id]))).toBe('cdf818194e3a8c32');
});

test('the order in which urls and members are given does not matter', () => {
  expect(computeMemberId(['http://b:1', 'http://a:1'], 't')).toBe(computeMemberId(['http://a:1', 'http://b:1'], 't'));
  expect(computeClusterId([3n, 1n, 2n])).toBe(computeClusterId([1n, 2n, 3n]));
});
