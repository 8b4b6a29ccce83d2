/** docs/http2.md against the tests it names: every one exists, every demand has an id of its own, and a test or a reason. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** One line of a table, by columns. */
const rows: readonly string[][] = read('docs/http2.md')
  .split('\n')
  .filter((line) => /^\| (?!---)/.test(line))
  .map((line) => line.slice(2, -2).split(' | '));

const files = new Map(
  rows.filter(([, path]) => /^`\S+\.test\.ts`$/.test(path ?? '')).map(([name, path]) => [name!, path!.slice(1, -1)]),
);
const demands = rows.filter(([id]) => /^H?[0-9A-C]+(?:\.\d+)*-\d+$/.test(id ?? ''));

/** What a file of tests calls its tests, and the first words of the rows that fill their %s. */
class TestNames {
  readonly #titles: readonly string[];
  readonly #text: string;

  constructor(path: string) {
    this.#text = read(path);
    const title = /(?:\btest|\))\(\s*(?:'((?:[^'\\\n]|\\.)+)'|"([^"\n]+)")\s*,/g;
    this.#titles = [...this.#text.matchAll(title)].map((match) => (match[1] ?? match[2]!).replaceAll("\\'", "'"));
  }

  has(name: string): boolean {
    return this.#titles.some((title) => {
      const pattern = title.split(/%[sd]|\$\w+/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      const match = new RegExp(`^${pattern.join('(.*)')}$`).exec(name);
      return match?.slice(1).every((filled) => this.#isInRow(filled)) ?? false;
    });
  }

  #isInRow(text: string): boolean {
    return [`'${text.replaceAll("'", "\\'")}'`, `"${text}"`].some((literal) => {
      const before = this.#text.split(literal).slice(0, -1);
      return before.some((part) => /[[,:]\s*$/.test(part));
    });
  }
}

const namesByFile = new Map([...files].map(([name, path]) => [name, new TestNames(path)]));

/** Tests in the last column: `name of the file: name of the test`. */
function testsOf(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

describe('docs/http2.md', () => {
  test('has the sections of both documents', () => {
    expect(demands.length).toBeGreaterThan(130);
    expect(files.size).toBeGreaterThan(10);
  });

  test('gives every demand an id of its own', () => {
    const ids = demands.map(([id]) => id);
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  });

  test('names a test for every demand, or why there is none', () => {
    const isAnswered = (cell: string): boolean =>
      testsOf(cell).length > 0 || /^(?:does not apply|not probed): ./.test(cell);
    expect(demands.filter(([, , cell]) => !isAnswered(cell ?? '')).map(([id]) => id)).toEqual([]);
  });

  test('names only tests that exist', () => {
    const missing = demands.flatMap(([id, , cell]) =>
      /^(?:does not apply|not probed)/.test(cell!)
        ? []
        : testsOf(cell!)
            .filter((found) => {
              const [file = '', ...name] = found.split(': ');
              return namesByFile.get(file)?.has(name.join(': ')) !== true;
            })
            .map((found) => `${id}: ${found}`),
    );
    expect(missing).toEqual([]);
  });

  test('would notice a test that is gone', () => {
    const names = namesByFile.get('conformance')!;
    expect(names.has('DATA on stream 0 is a connection error')).toBe(true);
    expect(names.has('DATA on stream 9 is a connection error')).toBe(false);
    expect(names.has('the server begins with PING')).toBe(false);
  });
});
