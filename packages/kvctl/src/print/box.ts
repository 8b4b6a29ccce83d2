/**
 * Tables as etcdctl draws them: an ASCII box, headers centred and in capitals, cells to the right. Cells wider than 30 columns
 * are broken between words so that lines come out as even as possible.
 */
import { type ByteString, toText } from '../text/bytes.ts';
import type { Rows } from './rows.ts';

const wrapColumns = 30;

/** The whole table, ending with a newline. */
export function box({ header, rows }: Rows): ByteString {
  const titles = header.map((title) => wrap(title.replaceAll('_', ' ').toUpperCase()));
  const body = rows.map((row) => row.map(wrap));
  const widths = titles.map((title, column) =>
    body.reduce((widest, row) => Math.max(widest, row[column]!.width), title.width),
  );
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`;
  return rule + drawRow(titles, widths, centre) + rule + body.map((row) => drawRow(row, widths, right)).join('') + rule;
}

/** Columns a terminal needs for this text: wide East Asian characters take two, combining marks none. */
export function displayWidth(text: ByteString): number {
  let width = 0;
  for (const char of toText(text)) width += /\p{Mn}|\p{Me}|\p{Cf}/u.test(char) ? 0 : wide.test(char) ? 2 : 1;
  return width;
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

type Align = (text: ByteString, width: number) => ByteString;

const right: Align = (text, width) => ' '.repeat(width - displayWidth(text)) + text;

const centre: Align = (text, width) => {
  const gap = width - displayWidth(text);
  const left = Math.floor(gap / 2);
  return ' '.repeat(left) + text + ' '.repeat(gap - left);
};

/** A cell broken into lines, and the columns it asks for: a broken cell asks for the limit even if its lines are shorter. */
interface Cell {
  readonly lines: readonly ByteString[];
  readonly width: number;
}

function drawRow(cells: readonly Cell[], widths: readonly number[], align: Align): ByteString {
  const height = cells.reduce((highest, { lines }) => Math.max(highest, lines.length), 1);
  let drawn = '';
  for (let line = 0; line < height; line += 1) {
    drawn += `|${cells.map(({ lines }, column) => ` ${align(lines[line] ?? '', widths[column]!)} `).join('|')}|\n`;
  }
  return drawn;
}

function wrap(text: ByteString): Cell {
  const limit = Math.min(displayWidth(text), wrapColumns);
  const lines = evenLines(text.split(/[ \n]/), limit);
  return { lines, width: lines.reduce((widest, line) => Math.max(widest, displayWidth(line)), limit) };
}

/**
 * Breaks words into lines of at most `limit` columns (a longer word raises the limit) with the least sum of squared space at
 * the ends of all lines but the last. Works from the last word back: the best way to break the words from `i` on is a first
 * line up to some `j` and the best way from there.
 */
function evenLines(words: readonly ByteString[], limit: number): ByteString[] {
  const widths = words.map(displayWidth);
  const bound = Math.max(limit, ...widths);
  const cost: number[] = new Array(words.length + 1).fill(0);
  const next: number[] = new Array(words.length + 1).fill(words.length);
  for (let i = words.length - 1; i >= 0; i -= 1) {
    let width = -1;
    cost[i] = Number.POSITIVE_INFINITY;
    for (let j = i + 1; j <= words.length; j += 1) {
      width += 1 + widths[j - 1]!;
      if (width > bound) break;
      const here = j === words.length ? 0 : (bound - width) ** 2 + cost[j]!;
      if (here < cost[i]! || j === words.length) {
        cost[i] = here;
        next[i] = j;
      }
    }
  }
  const lines: ByteString[] = [];
  for (let i = 0; i < words.length; i = next[i]!) lines.push(words.slice(i, next[i]).join(' '));
  return lines;
}
