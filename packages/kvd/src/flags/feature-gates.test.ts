import { expect, test } from 'vitest';
import { parseFeatureGates } from './feature-gates.ts';

test('gates are switched by name, the last word counts, and none is on by default', () => {
  expect(parseFeatureGates('')).toEqual({ compactHashCheck: false, initialCorruptCheck: false });
  expect(parseFeatureGates('CompactHashCheck=true')).toEqual({ compactHashCheck: true, initialCorruptCheck: false });
  expect(parseFeatureGates('AllAlpha=true, CompactHashCheck=false')).toEqual({
    compactHashCheck: false,
    initialCorruptCheck: true,
  });
});

test('what is no gate, or no value of one, is refused in the words of etcd', () => {
  expect(() => parseFeatureGates('Fly=true')).toThrow('unrecognized feature gate: Fly');
  expect(() => parseFeatureGates('CompactHashCheck')).toThrow('missing bool value for CompactHashCheck');
  expect(() => parseFeatureGates('CompactHashCheck=maybe')).toThrow('invalid value of CompactHashCheck=maybe');
});
