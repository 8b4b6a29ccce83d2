import type { Change } from '@quorate/mvcc';
import { KeyValue } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { checkHistory } from './check.ts';
import { type Answer, type Call, History } from './history.ts';
import { Truth } from './truth.ts';

function put(key: string, value: string, revision: number): Change {
  const record = KeyValue.encode(
    KeyValue.create({ key: Buffer.from(key), value: Buffer.from(value), modRevision: revision }),
  );
  return { type: 'put', key, record, modRevision: revision, sub: 0 };
}

function remove(key: string, revision: number): Change {
  const record = KeyValue.encode(KeyValue.create({ key: Buffer.from(key), modRevision: revision }));
  return { type: 'delete', key, record, modRevision: revision, sub: 0 };
}

/** a=1 at revision 2, b=2 at 3, a deleted at 4, a=3 at 5; revision r was applied at r × 10 ms. */
function sampleTruth(): Truth {
  const truth = new Truth();
  truth.record('m1', 2, [put('a', '1', 2)], 20);
  truth.record('m1', 3, [put('b', '2', 3)], 30);
  truth.record('m1', 4, [remove('a', 4)], 40);
  truth.record('m1', 5, [put('a', '3', 5)], 50);
  return truth;
}

function historyOf(...steps: [Call, Answer | 'refused' | 'unknown', number, number][]): History {
  const history = new History();
  for (const [call, answer, invokeMs, returnMs] of steps) {
    const operation = history.begin(call, invokeMs);
    if (answer === 'unknown') continue;
    const outcome =
      answer === 'refused' ? ({ at: 'refused', reason: 'test' } as const) : ({ at: 'ok', answer } as const);
    history.end(operation, outcome, returnMs);
  }
  return history;
}

const put1: Call = { kind: 'put', key: 'a', value: '1' };
const put2: Call = { kind: 'put', key: 'b', value: '2' };
const put3: Call = { kind: 'put', key: 'a', value: '3' };
const getA: Call = { kind: 'get', key: 'a', serializable: false };
const staleA: Call = { kind: 'get', key: 'a', serializable: true };
const deleteA: Call = { kind: 'delete', key: 'a' };
const at = (revision: number, value: string | undefined, modRevision = revision): Answer => ({
  kind: 'get',
  revision,
  found: value === undefined ? undefined : { value, modRevision },
});

describe('a sound history', () => {
  test('is accepted with writes, reads, deletes, swaps and unknown outcomes', () => {
    const history = historyOf(
      [put1, { kind: 'put', revision: 2 }, 10, 25],
      [getA, at(2, '1'), 26, 28],
      [put2, 'unknown', 26, 0],
      [deleteA, { kind: 'delete', revision: 4, deleted: 1 }, 35, 45],
      [deleteA, { kind: 'delete', revision: 4, deleted: 0 }, 46, 47],
      [
        { kind: 'swap', key: 'a', expectModRevision: 0, value: '3' },
        { kind: 'swap', revision: 5, succeeded: true },
        48,
        55,
      ],
      [staleA, at(3, '1', 2), 60, 61],
      [{ kind: 'put', key: 'z', value: 'never' }, 'refused', 60, 61],
    );
    expect(checkHistory(history, sampleTruth())).toEqual([]);
  });
});

describe('a broken history is rejected', () => {
  const broken: [string, History][] = [
    [
      'an acknowledged write is lost',
      historyOf([{ kind: 'put', key: 'x', value: 'x' }, { kind: 'put', revision: 3 }, 10, 40]),
    ],
    ['an acknowledged write is elsewhere', historyOf([put1, { kind: 'put', revision: 3 }, 10, 40])],
    ['an answer is ahead of every member', historyOf([getA, at(9, undefined), 10, 40])],
    ['a read is stale', historyOf([put3, { kind: 'put', revision: 5 }, 35, 55], [getA, at(2, '1'), 56, 58])],
    ['a read is wrong', historyOf([getA, at(2, '7'), 10, 40])],
    ['a read misses a key', historyOf([getA, at(3, undefined), 10, 40])],
    ['a read sees a deleted key', historyOf([getA, at(4, '1', 2), 10, 60])],
    ['a serializable read is wrong', historyOf([staleA, at(3, '3', 5), 10, 60])],
    ['a mod revision is wrong', historyOf([getA, at(3, '1', 3), 10, 60])],
    ['a refused write took effect', historyOf([put2, 'refused', 10, 40])],
    ['a write took effect before it was invoked', historyOf([put1, 'unknown', 21, 0])],
    [
      'two writes share a revision',
      historyOf([put1, { kind: 'put', revision: 2 }, 10, 22], [put2, { kind: 'put', revision: 2 }, 23, 40]),
    ],
    [
      'revisions go back in real time',
      historyOf(
        [put3, { kind: 'put', revision: 5 }, 10, 51],
        [deleteA, { kind: 'delete', revision: 4, deleted: 1 }, 52, 53],
      ),
    ],
    [
      'a delete claims a key that was not there',
      historyOf([deleteA, { kind: 'delete', revision: 5, deleted: 1 }, 10, 60]),
    ],
    ['a delete claims nothing was there', historyOf([deleteA, { kind: 'delete', revision: 3, deleted: 0 }, 10, 60])],
    ['a delete is at the wrong revision', historyOf([deleteA, { kind: 'delete', revision: 3, deleted: 1 }, 10, 60])],
    [
      'a swap succeeded against its guard',
      historyOf([
        { kind: 'swap', key: 'a', expectModRevision: 2, value: '3' },
        { kind: 'swap', revision: 5, succeeded: true },
        10,
        60,
      ]),
    ],
    [
      'a swap failed against its guard',
      historyOf([
        { kind: 'swap', key: 'a', expectModRevision: 2, value: 'y' },
        { kind: 'swap', revision: 3, succeeded: false },
        10,
        60,
      ]),
    ],
    [
      'a failed swap wrote',
      historyOf([
        { kind: 'swap', key: 'b', expectModRevision: 9, value: '2' },
        { kind: 'swap', revision: 3, succeeded: false },
        10,
        60,
      ]),
    ],
    ['a read goes back after another read', historyOf([getA, at(5, '3'), 10, 51], [getA, at(3, '1', 2), 52, 60])],
  ];

  test.each(broken)('when %s', (_name, history) => {
    expect(checkHistory(history, sampleTruth())).not.toEqual([]);
  });
});

describe('the truth', () => {
  test('refuses a gap, a repeat that differs and a value written twice', () => {
    const truth = sampleTruth();
    expect(() => truth.record('m2', 7, [put('c', '9', 7)], 60)).toThrow(/after 5/);
    expect(() => truth.record('m2', 3, [put('b', '8', 3)], 60)).toThrow(/differently/);
    expect(() => truth.record('m2', 6, [put('c', '1', 6)], 60)).toThrow(/again/);
    expect(() => truth.record('m2', 3, [put('b', '2', 3)], 60)).not.toThrow();
  });
});
