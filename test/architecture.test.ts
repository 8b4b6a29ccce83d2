/**
 * The house rules, as a test: who may import whom, what pure packages may touch, how large files may grow, what must not be left
 * behind. Who may import whom is read from the table in docs/architecture.md, so the document cannot be out of date.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Behind a package's name in the table: its types alone, because raft knows the shapes of messages, not their codecs. */
const typesOnlyMark = ' (types)';
const rules = readRules();
const programs = new Set(['kvd', 'kvctl']);
const testLibraries = ['vitest', 'fast-check'];
const linesMax = 500;

/** What a row of the table says. */
interface Rule {
  /** Packages of this repository it may import. */
  readonly own: readonly string[];
  /** Those of them whose types alone it may know. */
  readonly typesOnly: readonly string[];
  /** Libraries it may import. */
  readonly libraries: readonly string[];
  /** No Node API, clock, chance or process: see architecture, module boundary rules. */
  readonly isPure: boolean;
}

/** The rows of the table in docs/architecture.md that begins with this line. */
function readRules(): Readonly<Record<string, Rule>> {
  const head = '| package | owns | may import | libraries | pure |';
  const lines = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8').split('\n');
  const rules: Record<string, Rule> = {};
  for (let i = lines.indexOf(head) + 2; i > 1 && lines[i]?.startsWith('|'); i++) {
    const [name, , imports, libraries, pure] = lines[i]!.split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const own = listOf(imports!);
    rules[name!] = {
      own: own.map((word) => word.replace(typesOnlyMark, '')),
      typesOnly: own.filter((word) => word.endsWith(typesOnlyMark)).map((word) => word.replace(typesOnlyMark, '')),
      libraries: listOf(libraries!),
      isPure: pure === 'yes',
    };
  }
  return rules;
}

function listOf(cell: string): string[] {
  return cell === '–' ? [] : cell.split(', ');
}

interface Source {
  readonly package: string;
  readonly path: string;
  readonly text: string;
  readonly isTest: boolean;
}

interface Import {
  readonly from: string;
  readonly isType: boolean;
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' || entry.name === 'dist' ? [] : filesUnder(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

const packageNames = readdirSync(join(root, 'packages')).filter((name) =>
  statSync(join(root, 'packages', name)).isDirectory(),
);

const sources: readonly Source[] = packageNames.flatMap((name) =>
  filesUnder(join(root, 'packages', name, 'src')).map((path) => ({
    package: name,
    path: relative(root, path),
    text: readFileSync(path, 'utf8'),
    isTest: /\.test\.ts$|\/testing\/|\/conformance\.ts$/.test(path),
  })),
);

function importsOf(source: Source): Import[] {
  const pattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
  return [...source.text.matchAll(pattern)].map((match) => ({ isType: match[1] !== undefined, from: match[2]! }));
}

const ownPackage = new RegExp(`^(?:@quorate/)?(${packageNames.join('|')})$`);

function problemsOf(source: Source, found: Import): string[] {
  const rule = rules[source.package]!;
  const { from } = found;
  if (from.startsWith('.')) {
    return from.endsWith('.ts') || from.endsWith('.mjs')
      ? []
      : [`${source.path}: relative import without extension: ${from}`];
  }
  if (from.startsWith('node:')) {
    return rule.isPure && !source.isTest ? [`${source.path}: a pure package imports ${from}`] : [];
  }
  const own = ownPackage.exec(from)?.[1];
  if (own !== undefined) {
    const allowed = rule.own.includes(own) || (source.isTest && own === 'backend');
    if (!allowed) return [`${source.path}: may not import ${from}`];
    const typesOnly = rule.typesOnly.includes(own) && !source.isTest;
    return typesOnly && !found.isType ? [`${source.path}: may import ${from} as types only`] : [];
  }
  const library = from.startsWith('@') ? from.split('/').slice(0, 2).join('/') : from.split('/')[0]!;
  const allowed = [...rule.libraries, ...(source.isTest ? [...testLibraries, 'protobufjs'] : [])];
  return allowed.includes(library) ? [] : [`${source.path}: may not import the library ${from}`];
}

describe('packages', () => {
  test('every package has a row in the table and every row a package', () => {
    expect(Object.keys(rules).sort()).toEqual([...packageNames].sort());
  });

  test('rows of the table import rows above them only', () => {
    const names = Object.keys(rules);
    const upward = names.flatMap((name, i) =>
      rules[name]!.own.filter((own) => !names.slice(0, i).includes(own)).map((own) => `${name} imports ${own}`),
    );
    expect(upward).toEqual([]);
  });

  test('imports follow the table', () => {
    const problems = sources.flatMap((source) => importsOf(source).flatMap((found) => problemsOf(source, found)));
    expect(problems).toEqual([]);
  });

  test('declared dependencies are in the table', () => {
    for (const name of packageNames) {
      const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
        dependencies?: Record<string, string>;
      };
      const declared = Object.keys(manifest.dependencies ?? {});
      const rule = rules[name]!;
      const allowed = new Set([...rule.own.map((own) => `@quorate/${own}`), ...rule.libraries]);
      expect(
        declared.filter((dependency) => !allowed.has(dependency)),
        name,
      ).toEqual([]);
    }
  });

  test('only the lmdb backend touches lmdb', () => {
    const users = sources.filter((source) => importsOf(source).some((found) => found.from === 'lmdb'));
    expect(users.filter((source) => !source.isTest).map((source) => source.path)).toEqual([
      'packages/backend/src/lmdb-backend.ts',
    ]);
  });
});

describe('purity', () => {
  const forbidden =
    /\b(?:Date\.now|new Date|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|process\.|queueMicrotask|require\()/;

  // Not a field or a file that happens to have the name.
  const globalProcess = /(?<![.#/\w])process\.(?!hrtime)/;

  test('pure packages touch no clock, chance, timer or process', () => {
    const problems = sources
      .filter((source) => rules[source.package]?.isPure === true && !source.isTest)
      .flatMap((source) =>
        withoutComments(source.text)
          .split('\n')
          .flatMap((line, i) => (forbidden.test(line) ? [`${source.path}:${i + 1}: ${line.trim()}`] : [])),
      );
    expect(problems).toEqual([]);
  });

  test('only programs, the runtime and tests touch process', () => {
    const problems = sources
      .filter((source) => !programs.has(source.package) && source.package !== 'runtime' && !source.isTest)
      .filter((source) => globalProcess.test(withoutComments(source.text)))
      .map((source) => source.path);
    expect(problems).toEqual([]);
  });
});

describe('tidiness', () => {
  test('source files stay small enough to hold in a head', () => {
    const large = sources
      .filter((source) => !source.isTest && !source.path.includes('/gen/'))
      .filter((source) => source.text.split('\n').length > linesMax)
      .map((source) => source.path);
    expect(large).toEqual([]);
  });

  test('every source file says at its head what it owns', () => {
    const silent = sources
      .filter((source) => !source.isTest && !source.path.endsWith('/index.ts'))
      .filter((source) => !/^(?:#!.*\n)?\/(?:\*\*|\/)/.test(source.text))
      .map((source) => source.path);
    expect(silent).toEqual([]);
  });

  test('nothing unfinished is left behind', () => {
    const marks = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b|@ts-ignore|@ts-nocheck`);
    const problems = sources
      .filter(({ text }) => marks.test(text) || / as any\b/.test(withoutComments(text)))
      .map((source) => source.path);
    expect(problems).toEqual([]);
  });

  test('index files only re-export by name', () => {
    const problems = sources
      .filter((source) => source.path.endsWith('src/index.ts'))
      .filter((source) => /export \*|^(?!export|import|\s|\/|}|$)/m.test(source.text))
      .map((source) => source.path);
    expect(problems).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' ')).replace(/\/\/.*$/gm, '');
}
