/**
 * The documents against the code: links lead somewhere, what is named exists, tables that repeat the code are the code's. With
 * REWRITE=1 the tables of flags in docs/operations.md are written anew.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';
import { crashPointNames } from '@quorate/base';
import { environmentName, type FlagSpec, flagName, flagTable, oldNames } from 'kvd';
import { describe, expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

interface Document {
  /** Relative to the root. */
  readonly path: string;
  readonly text: string;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const documents: readonly Document[] = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
]
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, text: read(path) }));

const sources: readonly Document[] = ['packages', 'test', 'bench', 'scripts', 'proto']
  .flatMap((directory) => filesUnder(join(root, directory)))
  .filter((path) => /\.(?:ts|mjs|js|proto|json)$/.test(path))
  .map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }));

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (!entry.isDirectory()) return [path];
    return ['node_modules', 'dist', 'results'].includes(entry.name) ? [] : filesUnder(path);
  });
}

function documentOf(path: string): Document {
  return documents.find((document) => document.path === path)!;
}

/** What matches in the documents and `isFine` does not accept, with where it stands. */
function problems(pattern: RegExp, isFine: (found: string, document: Document) => boolean): string[] {
  return documents.flatMap((document) =>
    [...document.text.matchAll(pattern)]
      .map((match) => match[1] ?? match[0])
      .filter((found) => !isFine(found, document))
      .map((found) => `${document.path}: ${found}`),
  );
}

/** Words in backticks outside of blocks of code. */
const inBackticks = /(?<!`)`([^`\n]+)`(?!`)/g;

describe('links and paths', () => {
  test('links lead to files and headings of this repository, or to the web', () => {
    const isFine = (target: string, { path }: Document): boolean => {
      if (target.startsWith('https://')) return true;
      const [file = '', heading] = target.split('#');
      const found = file === '' ? path : relative(root, resolve(root, dirname(path), file));
      if (found.startsWith('..') || !existsSync(join(root, found))) return false;
      return heading === undefined || headingsOf(read(found)).has(heading);
    };
    expect(problems(/\]\(([^)\s]+)\)/g, isFine)).toEqual([]);
  });

  test('paths into the repository exist', () => {
    const isFine = (found: string): boolean =>
      !/^(?:packages|test|docs|scripts|bench|proto|\.ci)\/[^ <*]*$/.test(found) || existsSync(join(root, found));
    expect(problems(inBackticks, (found) => found === 'bench/results' || isFine(found))).toEqual([]);
  });

  test('no path outside of the repository is named', () => {
    const outside = /(?:^|[\s`("'=])((?:~|\/(?:work|tmp|home|root|opt|usr|var|etc|mnt|srv|proc|dev|Users))\/\S*)/gm;
    expect(problems(outside, () => false)).toEqual([]);
  });
});

/** Anchors of the headings, made as GitHub makes them. */
function headingsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => match[1]!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

describe('names', () => {
  const words = new Set(sources.flatMap(({ path, text }) => (isDocsTest(path) ? [] : text.split(/[^A-Za-z0-9_]+/))));

  test('types, functions and fields exist in the code', () => {
    const isName = /^[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*)*(?:\(\))?$/;
    const isFine = (found: string): boolean => {
      if (!isName.test(found) || !/[a-z][A-Z]/.test(found)) return true;
      return found
        .replace('()', '')
        .split('.')
        .every((part) => words.has(part));
    };
    expect(problems(inBackticks, isFine)).toEqual([]);
  });

  test('environment variables exist', () => {
    const ofKvd = Object.keys(flagTable).map((field) => environmentName(flagName(field)));
    const known = new Set([...ofKvd, ...flagsOf('packages/kvctl/src').map((flag) => `KVCTL_${upper(flag)}`), ...words]);
    const variable = /\b((?:KVD|KVCTL|QUORATE|SIM)_[A-Z][A-Z_]*[A-Z]|REWRITE)\b/g;
    expect(problems(variable, (found) => known.has(found))).toEqual([]);
  });

  test('variables that tests listen to stand in the README', () => {
    const read = sources.flatMap(({ text }) => [...text.matchAll(/\benv\['((?:QUORATE|SIM)_\w+|REWRITE)'\]/g)]);
    const readme = documentOf('README.md').text;
    const missing = read.map((match) => match[1]!).filter((name) => !readme.includes(`\`${name}\``));
    expect([...new Set(missing)]).toEqual([]);
    expect(read.length).toBeGreaterThan(0);
  });

  test('flags exist', () => {
    const ofKvd = [...Object.keys(flagTable).map(flagName), ...Object.keys(oldNames)];
    const ofOthers = [...flagsOf('packages/kvctl/src'), ...optionsOfBenchmarks()];
    const ofTools = [
      'help',
      'version',
      'config-file',
      'ignore-scripts',
      'always-sparkplug',
      'heap-growing-percent',
      'interrupt-budget',
      'max-inlined-bytecode-size',
      'max-inlined-bytecode-size-cumulative',
      'max-semi-space-size',
      'no-allocation-site-pretenuring',
      'no-parallel-scavenge',
      'single-threaded-gc',
      'trace-gc-nvp',
      'trace-gc-object-stats',
      'use-largepages',
      'v8-pool-size',
    ];
    const known = new Set([...ofKvd, ...ofOthers, ...ofTools]);
    const isFine = (found: string): boolean => known.has(found);
    expect(problems(/(?<![\w-])--([a-z][a-z0-9-]*)/g, isFine)).toEqual([]);
  });

  test('npm scripts exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(problems(/\bnpm run ([\w:]+)/g, (found) => scripts[found] !== undefined)).toEqual([]);
  });
});

function isDocsTest(path: string): boolean {
  return path === 'test/docs.test.ts';
}

function upper(flag: string): string {
  return flag.toUpperCase().replaceAll('-', '_');
}

/** Names of the flags that the sources under `directory` declare. */
function flagsOf(directory: string): string[] {
  const declared = sources.filter(({ path }) => path.startsWith(directory)).map(({ text }) => text);
  return declared.flatMap((text) => [...text.matchAll(/Flag\(\w+, \{\s*name: '([a-z-]+)'/g)].map((match) => match[1]!));
}

/** Names of the options that parseArgs of the benchmarks is given. */
function optionsOfBenchmarks(): string[] {
  const programs = sources.filter(({ path }) => path.startsWith('bench/src/')).map(({ text }) => text);
  const option = /[{ ]'?([a-z-]+)'?: \{ type: '(?:string|boolean)'/g;
  return programs.flatMap((text) => [...text.matchAll(option)].map((match) => match[1]!));
}

describe('tables that repeat the code', () => {
  test('the flags of kvd, by group; REWRITE=1 writes them', () => {
    const path = 'docs/operations.md';
    const [before, after] = documentOf(path).text.split(/(?<=<!-- flags -->\n)[\s\S]*(?=<!-- \/flags -->)/);
    const expected = `${before}${flagTables()}${after}`;
    if (env['REWRITE'] === '1') writeFileSync(join(root, path), expected);
    expect(read(path)).toBe(expected);
  });

  test('the metrics', () => {
    const made = sources
      .filter(({ path }) => /^packages\/[a-z]+\/src\//.test(path) && !/\.test\.ts$|\/testing\//.test(path))
      .flatMap(({ text }) => [...text.matchAll(/'((?:etcd|grpc|os|quorate)_[a-z_]+)'|^ +(etcd_[a-z_]+):/gm)])
      .map((match) => match[1] ?? match[2]!);
    const documented = [...documentOf('docs/operations.md').text.matchAll(/`((?:etcd|grpc|os|quorate)_[a-z_]+)`/g)];
    expect(sortedSet(documented.map((match) => match[1]!))).toEqual(sortedSet(made));
  });

  test('the crash points', () => {
    const section = documentOf('docs/guarantees.md').text.split('## Crash points')[1]!.split('\n## ')[0]!;
    const documented = [...section.matchAll(/`([a-z]+[A-Z]\w+)`/g)].map((match) => match[1]!);
    expect([...documented].sort()).toEqual([...crashPointNames].sort());
  });

  test('the packages', () => {
    const documented = [...documentOf('README.md').text.matchAll(/^\| `packages\/([a-z]+)` \|/gm)];
    expect(documented.map((match) => match[1]!).sort()).toEqual(readdirSync(join(root, 'packages')).sort());
  });

  test('the third-party packages and their versions', () => {
    const manifests = sources.filter(({ path }) => /^(?:packages\/[a-z]+|test|bench)\/package\.json$/.test(path));
    const declared = [...manifests.map(({ text }) => text), read('package.json')].flatMap((text) => {
      const { dependencies, devDependencies } = JSON.parse(text) as Manifest;
      return Object.entries({ ...dependencies, ...devDependencies });
    });
    const own = /^(?:@quorate\/|kvd$|kvctl$|quorate$)/;
    const thirdParty = declared.filter(([name]) => !own.test(name)).map(([name, version]) => `${name} ${version}`);
    const rows = documentOf('docs/dependencies.md').text.matchAll(/^\| (\S+) \| (\d+\.\d+\.\d+) \|/gm);
    expect([...rows].map((row) => `${row[1]} ${row[2]}`).sort()).toEqual(sortedSet(thirdParty));
  });
});

function flagTables(): string {
  type Group = FlagSpec<unknown>['group'];
  // In the order of kvd's help.
  const rows: Record<Group, string[]> = {
    Member: [],
    Clustering: [],
    Security: [],
    Monitoring: [],
    Logging: [],
    Tuning: [],
  };
  for (const [field, spec] of Object.entries(flagTable) as [string, FlagSpec<unknown>][]) {
    const value = spec.default === '' ? '–' : `\`${spec.default}\``;
    const help = spec.help.replaceAll('<', '&lt;');
    rows[spec.group].push(`| \`--${flagName(field)}\` | ${value} | ${help} |`);
  }
  const head = '| flag | default | what |\n|---|---|---|\n';
  const tables = Object.entries(rows).map(([group, lines]) => `\n### ${group}\n\n${head}${lines.join('\n')}\n`);
  return `${tables.join('')}\n`;
}

function sortedSet(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}
