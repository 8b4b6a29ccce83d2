/**
 * Plots as SVG, a few kilobytes each: bars side by side, and lines. Colours are chosen for light and dark backgrounds, and what is
 * read follows what the reader prefers.
 */

/** One value for each of a plot's series, undefined where there is none. */
export interface BarGroup {
  readonly label: string;
  readonly values: readonly (number | undefined)[];
}

export interface BarPlot {
  readonly title: string;
  readonly series: readonly string[];
  readonly groups: readonly BarGroup[];
}

export interface LinePlot {
  readonly title: string;
  /** What the horizontal axis, which is logarithmic, counts. */
  readonly xName: string;
  /** Positions, left to right, as they are labelled. */
  readonly xs: readonly { readonly at: number; readonly label: string }[];
  /** As many values as there are positions. */
  readonly series: readonly { readonly name: string; readonly values: readonly (number | undefined)[] }[];
}

const width = 720;
const height = 310;
const plot = { left: 64, right: 704, top: 56, bottom: 246 } as const;
const colours = ['#4c8bd6', '#e08a2e', '#58a55c'];
const style = [
  'text{font:12px system-ui,sans-serif;fill:#333}',
  '.title{font-size:14px;font-weight:600}',
  '.label{font-size:11px}',
  '.grid{stroke:#8884;stroke-width:1}',
  '@media(prefers-color-scheme:dark){text{fill:#ddd}}',
].join('');

/** Bars from zero, in groups. */
export function barPlot({ title, series, groups }: BarPlot): string {
  const top = roundUp(Math.max(...groups.flatMap(({ values }) => values.map((value) => value ?? 0))));
  const step = (plot.right - plot.left) / groups.length;
  const barWidth = Math.min(36, (step * 0.7) / series.length);
  const bars = groups.flatMap(({ label, values }, at) => {
    const middle = plot.left + (at + 0.5) * step;
    const left = middle - (barWidth * series.length) / 2;
    return [
      ...values.flatMap((value, i) => (value === undefined ? [] : [bar(left + i * barWidth, barWidth, value, top, i)])),
      ...wrapped(label, middle, step),
    ];
  });
  return picture(title, [...grid(top), ...bars, ...legend(series)]);
}

/** Lines from zero over a logarithmic axis; a position of 0 stands left of all others. */
export function linePlot({ title, xName, xs, series }: LinePlot): string {
  const top = roundUp(Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0))));
  // Without any position there is nothing to place.
  const positive = xs.length === 0 ? [1] : xs.map(({ at }) => at).filter((at) => at > 0);
  const least = Math.min(...positive) / (positive.length === xs.length ? 1 : 10);
  const span = Math.log(Math.max(...positive) / least) || 1;
  const xOf = (at: number): number =>
    plot.left + 24 + (Math.log(Math.max(at, least) / least) / span) * (plot.right - plot.left - 48);
  const lines = series.flatMap(({ values }, i) => {
    const points = values.flatMap((value, at) =>
      value === undefined ? [] : [[xOf(xs[at]!.at), yOf(value, top)] as const],
    );
    const path = points.map(([x, y]) => `${short(x)},${short(y)}`).join(' ');
    return [
      `<polyline points="${path}" fill="none" stroke="${colours[i]}" stroke-width="2"/>`,
      ...points.map(([x, y]) => `<circle cx="${short(x)}" cy="${short(y)}" r="3" fill="${colours[i]}"/>`),
    ];
  });
  const labels = xs.map(({ at, label }) => text(xOf(at), plot.bottom + 18, label, 'middle'));
  const name = text((plot.left + plot.right) / 2, plot.bottom + 40, xName, 'middle');
  return picture(title, [...grid(top), ...lines, ...labels, name, ...legend(series.map((one) => one.name))]);
}

function picture(title: string, parts: readonly string[]): string {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${xmlText(title)}">`;
  const heading = `<text class="title" x="16" y="24">${xmlText(title)}</text>`;
  return `${[open, `<style>${style}</style>`, heading, ...parts, '</svg>'].join('\n')}\n`;
}

function bar(x: number, barWidth: number, value: number, top: number, series: number): string {
  const y = yOf(value, top);
  const size = `width="${short(barWidth - 2)}" height="${short(plot.bottom - y)}"`;
  return `<rect x="${short(x)}" y="${short(y)}" ${size} fill="${colours[series]}"><title>${figure(value)}</title></rect>`;
}

function grid(top: number): string[] {
  return [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    const y = yOf(top * share, top);
    return [
      `<line class="grid" x1="${plot.left}" x2="${plot.right}" y1="${short(y)}" y2="${short(y)}"/>`,
      text(plot.left - 8, y + 4, figure(top * share), 'end'),
    ];
  });
}

function legend(names: readonly string[]): string[] {
  return names.flatMap((name, i) => {
    const x = plot.left + i * 150;
    return [`<rect x="${x}" y="34" width="10" height="10" fill="${colours[i]}"/>`, text(x + 16, 43, name, 'start')];
  });
}

/** A label in as many lines as it needs below its group. */
function wrapped(label: string, x: number, step: number): string[] {
  const charactersMax = Math.max(8, Math.floor(step / 6.5));
  const lines: string[] = [];
  for (const word of label.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < charactersMax) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line, i) => text(x, plot.bottom + 16 + i * 13, line, 'middle', 'label'));
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', name?: 'label'): string {
  const named = name === undefined ? '' : ` class="${name}"`;
  return `<text${named} x="${short(x)}" y="${short(y)}" text-anchor="${anchor}">${xmlText(content)}</text>`;
}

function yOf(value: number, top: number): number {
  return plot.bottom - (value / top) * (plot.bottom - plot.top);
}

/** The next of 1, 2, 4, 5, 8 or 10 times a power of ten: what a scale may end with. */
function roundUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 8, 10].find((factor) => factor * power >= value)! * power;
}

/** A value as it is read: 12,300 or 0.25. */
function figure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en-US');
}

function short(coordinate: number): string {
  return String(Math.round(coordinate * 10) / 10);
}

function xmlText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
