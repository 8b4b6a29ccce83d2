import { expect, test } from 'vitest';
import { type RaftConfig, resolveConfig } from './config.ts';
import { earliest, storageWith } from './testing/builders.ts';
import { textCodec } from './testing/conf-change-text.ts';
import { localAppendThread } from './types.ts';

const required: RaftConfig = { id: 1n, storage: storageWith([1n]), random: earliest, confChangeCodec: textCodec };

test('the defaults are safe ones', () => {
  expect(resolveConfig(required)).toMatchObject({
    electionTicks: 10,
    heartbeatTicks: 1,
    preVote: true,
    checkQuorum: true,
    readOnlyOption: 'safe',
    stepDownOnRemoval: true,
    disableConfChangeValidation: false,
    maxSizePerMsg: 1024 * 1024,
    maxCommittedSizePerReady: 1024 * 1024,
  });
});

test.each<[string, Partial<RaftConfig>]>([
  ['an id', { id: 0n }],
  ['reserved', { id: localAppendThread }],
  ['heartbeatTicks', { heartbeatTicks: 0 }],
  ['electionTicks', { electionTicks: 1 }],
  ['maxSizePerMsg', { maxSizePerMsg: -1 }],
  ['maxCommittedSizePerReady', { maxCommittedSizePerReady: 0 }],
  ['maxUncommittedEntriesSize', { maxUncommittedEntriesSize: 0 }],
  ['maxInflightMsgs', { maxInflightMsgs: 0 }],
  ['maxInflightBytes', { maxSizePerMsg: 100, maxInflightBytes: 99 }],
  ['lease-based', { readOnlyOption: 'lease-based', checkQuorum: false }],
])('settings that do not fit are refused: %s', (phrase, wrong) => {
  expect(() => resolveConfig({ ...required, ...wrong })).toThrow(phrase);
});
