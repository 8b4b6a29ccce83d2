import { expect, test } from 'vitest';
import { fromText } from '../text/bytes.ts';
import { box, displayWidth } from './box.ts';

test('headers are centred capitals, cells stand to the right', () => {
  const rows = [
    ['1', 'yes'],
    ['22222222', 'no'],
  ];
  expect(box({ header: ['id', 'is_leader'], rows })).toBe(
    [
      '+----------+-----------+',
      '|    ID    | IS LEADER |',
      '+----------+-----------+',
      '|        1 |       yes |',
      '| 22222222 |        no |',
      '+----------+-----------+',
      '',
    ].join('\n'),
  );
});

test('an odd space goes to the right of a header', () => {
  expect(box({ header: ['abc'], rows: [['123456']] }).split('\n')[1]).toBe('|  ABC   |');
});

test('without rows only the header is drawn', () => {
  expect(box({ header: ['id'], rows: [] })).toBe('+----+\n| ID |\n+----+\n+----+\n');
});

test('a long cell is broken between words, and keeps its column at thirty', () => {
  const cell = 'memberID:13195394291058371180 alarm:NOSPACE ';
  expect(
    box({ header: ['errors'], rows: [[cell]] })
      .split('\n')
      .slice(1, 5),
  ).toEqual([
    '|             ERRORS             |',
    '+--------------------------------+',
    '|  memberID:13195394291058371180 |',
    '|                 alarm:NOSPACE  |',
  ]);
});

test('lines come out even rather than filled', () => {
  const words = [20, 9, 18, 30, 1].map((length) => 'x'.repeat(length)).join(' ');
  const lines = box({ header: ['x'], rows: [[words]] })
    .split('\n')
    .slice(3, -2);
  expect(
    lines.map((line) =>
      line
        .replace(/[^x ]/g, '')
        .trim()
        .split(' ')
        .map((word) => word.length),
    ),
  ).toEqual([[20], [9, 18], [30], [1]]);
});

test('a word longer than the limit widens its column and is not cut', () => {
  const url = `http://${'x'.repeat(40)}`;
  expect(box({ header: ['url'], rows: [[url]] })).toContain(`| ${url} |`);
});

test('widths are those of a terminal', () => {
  expect(displayWidth(fromText('日本'))).toBe(4);
  expect(displayWidth(fromText('e\u0301'))).toBe(1);
  expect(displayWidth(fromText('é😀'))).toBe(3);
});
