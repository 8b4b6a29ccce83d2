import { formatId } from '@quorate/base';
import { expect, test } from 'vitest';
import { computeAddedMemberId, computeClusterId, computeMemberId } from './identity.ts';

test('the default single member has the ids etcd gives it', () => {
  const id = computeMemberId(['http://localhost:2380'], 'etcd-cluster');
  expect(formatId(id)).toBe('8e9e05c52164694d');
  expect(formatId(computeClusterId([id]))).toBe('cdf818194e3a8c32');
});

test('the order in which urls and members are given does not matter', () => {
  expect(computeMemberId(['http://b:1', 'http://a:1'], 't')).toBe(computeMemberId(['http://a:1', 'http://b:1'], 't'));
  expect(computeClusterId([3n, 1n, 2n])).toBe(computeClusterId([1n, 2n, 3n]));
});

test('a member that is added has the id that etcd 3.5.30 gave it in the same second', () => {
  const seconds = 1_795_242_089;
  expect(formatId(computeAddedMemberId(['http://127.0.0.1:27112'], seconds))).toBe('ef502ad87511463e');
  const both = ['http://127.0.0.1:27115', 'http://127.0.0.1:27112'];
  expect(formatId(computeAddedMemberId(both, seconds))).toBe('7b6611c5c4e47e58');
});
