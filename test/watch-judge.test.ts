/** The judge of watches finds what it is there to find: a judge that cannot be angered proves nothing. */
import { KeyValue } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { judgeWatches, type Seen, WatchLog, WriteHistory, type Written } from './support/watch-judge.ts';

const everything = { key: '\0', end: '\xff', noPut: false, noDelete: false, prevKv: true };
const put = (key: string, value: string): Written => ({ key, value });
const gone = (key: string): Written => ({ key, value: undefined });

/** a=1 at 2, a=2 and b=3 at 3, a deleted at 4, b=4 at 5 (never answered), c=5 at 6. */
function sampleHistory(): WriteHistory {
  const history = new WriteHistory();
  history.acknowledge(2, [put('a', '1')]);
  history.acknowledge(3, [put('a', '2'), put('b', '3')]);
  history.acknowledge(4, [gone('a')]);
  history.unknown.push([put('b', '4')], [put('z', '9')], [gone('b')]);
  history.acknowledge(6, [put('c', '5')]);
  history.compactedMax = 4;
  return history;
}

const before = (value: string, modRevision: number): Seen['previous'] => ({ value, modRevision });
type Given = readonly [number, Seen];
const at2: Given = [2, { ...put('a', '1'), createRevision: 2, version: 1, previous: undefined }];
const at3a: Given = [3, { ...put('a', '2'), createRevision: 2, version: 2, previous: before('1', 2) }];
const at3b: Given = [3, { ...put('b', '3'), createRevision: 3, version: 1, previous: undefined }];
const at4: Given = [4, { ...gone('a'), createRevision: 0, version: 0, previous: before('2', 3) }];
const at5: Given = [5, { ...put('b', '4'), createRevision: 3, version: 2, previous: before('3', 3) }];
const at6: Given = [6, { ...put('c', '5'), createRevision: 6, version: 1, previous: undefined }];

const kvs = [
  { key: 'b', createRevision: 3, modRevision: 5, version: 2 },
  { key: 'c', createRevision: 6, modRevision: 6, version: 1 },
].map(({ key, ...rest }) => KeyValue.create({ key: Buffer.from(key), ...rest }));

function verdict(tell: (log: WatchLog) => void, { history = sampleHistory(), shape = everything, held = kvs } = {}) {
  const log = new WatchLog('w', shape, 1);
  tell(log);
  return judgeWatches(history, [log], { lastRevision: 6, kvs: held });
}

describe('nothing is wrong', () => {
  test('with all events in order, over any number of responses', () => {
    const one = verdict((log) => log.given([at2, at3a, at3b, at4, at5, at6], 6));
    const many = verdict((log) => {
      log.given([at2], 2);
      log.progress(2);
      log.given([at3a, at3b], 3);
      log.given([at4, at5], 6);
      log.given([at6], 6);
    });
    expect([one, many]).toEqual([
      { problems: [], unknownCount: 0 },
      { problems: [], unknownCount: 0 },
    ]);
  });

  test('with a share of them, and with a gap that compaction explains', () => {
    const puts = verdict(
      (log) => {
        log.given([at3b, at5], 5);
        log.progress(6);
      },
      { shape: { ...everything, key: 'b', end: 'c', noDelete: true } },
    );
    const late = verdict((log) => {
      log.given([at2], 2);
      log.compacted(4);
      log.given([at4, at5, at6], 6);
    });
    expect([puts.problems, late.problems]).toEqual([[], []]);
  });

  test('with a watch from now on, and revisions that nobody was told of', () => {
    const log = new WatchLog('w', everything, 0);
    log.created(5);
    log.given([at6], 6);
    expect(judgeWatches(sampleHistory(), [log], { lastRevision: 6, kvs })).toEqual({ problems: [], unknownCount: 1 });
  });
});

test('of keys that a write nobody saw in full may have changed, only what is sure is judged', () => {
  const history = new WriteHistory();
  history.unknown.push([put('a', '1'), put('b', '2')]);
  history.acknowledge(4, [put('b', '3')]);
  const log = new WatchLog('w', { ...everything, key: 'a', end: 'c' }, 4);
  log.given([[4, { ...put('b', '3'), createRevision: 3, version: 2, previous: before('2', 3) }]], 4);
  const held = [KeyValue.create({ key: Buffer.from('b'), createRevision: 3, modRevision: 4, version: 2 })];
  expect(judgeWatches(history, [log], { lastRevision: 4, kvs: held })).toEqual({ problems: [], unknownCount: 2 });
});

describe('it complains', () => {
  const wrong: [string, (log: WatchLog) => void][] = [
    ['an event is missing', (log) => log.given([at2, at3a, at3b, at5, at6], 6)],
    ['the last event is missing', (log) => log.given([at2, at3a, at3b, at4, at5], 5)],
    [
      'progress passed an event',
      (log) => {
        log.progress(2);
        log.given([at3a, at3b, at4, at5, at6], 6);
      },
    ],
    ['an event comes twice', (log) => log.given([at2, at2, at3a, at3b, at4, at5, at6], 6)],
    [
      'an event comes again later',
      (log) => {
        log.given([at2, at3a, at3b, at4], 4);
        log.given([at4, at5, at6], 6);
      },
    ],
    ['revisions go back', (log) => log.given([at3a, at3b, at2, at4, at5, at6], 6)],
    ['keys of a revision change places', (log) => log.given([at2, at3b, at3a, at4, at5, at6], 6)],
    [
      'a revision is split',
      (log) => {
        log.given([at2, at3a], 3);
        log.given([at3b, at4, at5, at6], 6);
      },
    ],
    ['half a revision is lost', (log) => log.given([at2, at3a, at4, at5, at6], 6)],
    ['a value is wrong', (log) => log.given([[2, { ...at2[1], value: '7' }], at3a, at3b, at4, at5, at6], 6)],
    ['a version is wrong', (log) => log.given([at2, [3, { ...at3a[1], version: 3 }], at3b, at4, at5, at6], 6)],
    [
      'a create revision is wrong',
      (log) => log.given([at2, [3, { ...at3a[1], createRevision: 3 }], at3b, at4, at5, at6], 6),
    ],
    [
      'what was before is wrong',
      (log) => log.given([at2, at3a, at3b, [4, { ...at4[1], previous: before('1', 2) }], at5, at6], 6),
    ],
    ['an event is ahead of its header', (log) => log.given([at2, at3a, at3b, at4, at5, at6], 5)],
    [
      'progress goes back',
      (log) => {
        log.given([at2, at3a, at3b, at4, at5, at6], 6);
        log.progress(4);
      },
    ],
    [
      'nobody asked for the compaction',
      (log) => {
        log.compacted(5);
        log.given([at5, at6], 6);
      },
    ],
    [
      'compaction had not passed it',
      (log) => {
        log.given([at2, at3a, at3b, at4], 4);
        log.compacted(4);
        log.given([at5, at6], 6);
      },
    ],
    ['a key was never written', (log) => log.given([at2, at3a, at3b, at4, [5, { ...at5[1], value: 'x' }], at6], 6)],
  ];

  test.each(wrong)('when %s', (_, tell) => {
    expect(verdict(tell).problems).not.toEqual([]);
  });

  test('when a write without an answer happened twice', () => {
    const history = sampleHistory();
    history.acknowledged.delete(6);
    const again: Given = [6, { ...put('b', '4'), createRevision: 3, version: 3, previous: before('4', 5) }];
    expect(verdict((log) => log.given([at2, at3a, at3b, at4, at5, again], 6), { history }).problems).not.toEqual([]);
  });

  test('when a watcher sees what its filters or its range exclude', () => {
    const all = (log: WatchLog): void => log.given([at2, at3a, at3b, at4, at5, at6], 6);
    for (const shape of [
      { ...everything, noPut: true },
      { ...everything, noDelete: true },
      { ...everything, end: 'b' },
    ]) {
      expect(verdict(all, { shape }).problems).not.toEqual([]);
    }
  });

  test('when the store holds something else, or two writes share a revision', () => {
    const all = (log: WatchLog): void => log.given([at2, at3a, at3b, at4, at5, at6], 6);
    const history = sampleHistory();
    history.acknowledge(6, [put('d', '8')]);
    expect(verdict(all, { held: kvs.slice(1) }).problems).toHaveLength(1);
    expect(verdict(all, { held: [...kvs, KeyValue.create({ key: Buffer.from('y') })] }).problems).toHaveLength(1);
    expect(verdict(all, { history }).problems).not.toEqual([]);
  });
});
