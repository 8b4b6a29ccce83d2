/**
 * The house rules, as a test: who may import whom, what pure packages may touch, how large files may grow, what must not be left
 * behind. The table is the architecture; change it there (docs/architecture.md) first.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

interface Rule {
  /** Packages of this repository it may import. */
  readonly own: readonly string[];
  /** Libraries it may import. */
  readonly libraries?: readonly string[];
  /** No Node API, clock, chance or process: see architecture, module boundary rules. */
  readonly pure?: boolean;
}

const rules: Readonly<Record<string, Rule>> = {
  base: { own: [], pure: true },
  proto: { own: ['base'], libraries: ['protobufjs'], pure: true },
  raft: { own: ['base', 'proto'], pure: true },
  wal: { own: ['base', 'proto'], libraries: ['crc-32'] },
  backend: { own: ['base'], libraries: ['lmdb'] },
  mvcc: { own: ['base', 'proto', 'backend'], pure: true },
  quota: { own: ['base', 'proto', 'backend'], pure: true },
  apply: { own: ['base', 'proto', 'backend', 'mvcc', 'quota'], pure: true },
  rpc: { own: ['base', 'proto'], libraries: ['@grpc/grpc-js'] },
  server: {
    own: ['base', 'proto', 'raft', 'wal', 'backend', 'mvcc', 'quota', 'apply', 'rpc'],
    libraries: ['@grpc/grpc-js'],
  },
  runtime: { own: ['base', 'proto', 'backend', 'server', 'wal'], libraries: ['prom-client'] },
  client: { own: ['base', 'proto'], libraries: ['@grpc/grpc-js'] },
  kvctl: { own: ['base', 'proto', 'client'], libraries: ['commander'] },
  kvd: { own: ['base', 'proto', 'rpc', 'server', 'runtime', 'backend'], libraries: ['commander', 'pino'] },
  sim: {
    own: ['base', 'proto', 'raft', 'wal', 'backend', 'mvcc', 'quota', 'apply', 'rpc', 'server'],
    libraries: ['fast-check'],
  },
};

/** Raft may know the shapes of messages, not their codecs. */
const typeOnly: Readonly<Record<string, readonly string[]>> = { raft: ['proto'] };

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const programs = new Set(['kvd', 'kvctl']);
const testLibraries = ['vitest', 'fast-check'];
const linesMax = 500;

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

const ownPackage =
  /^(?:@quorate\/)?(base|proto|raft|wal|backend|mvcc|quota|apply|rpc|server|runtime|client|kvctl|kvd|sim)$/;

function problemsOf(source: Source, found: Import): string[] {
  const rule = rules[source.package]!;
  const { from } = found;
  if (from.startsWith('.')) {
    return from.endsWith('.ts') || from.endsWith('.mjs')
      ? []
      : [`${source.path}: relative import without extension: ${from}`];
  }
  if (from.startsWith('node:')) {
    return rule.pure === true && !source.isTest ? [`${source.path}: a pure package imports ${from}`] : [];
  }
  const own = ownPackage.exec(from)?.[1];
  if (own !== undefined) {
    const allowed = rule.own.includes(own) || (source.isTest && own === 'backend');
    if (!allowed) return [`${source.path}: may not import ${from}`];
    const typesOnly = typeOnly[source.package]?.includes(own) === true && !source.isTest;
    return typesOnly && !found.isType ? [`${source.path}: may import ${from} as types only`] : [];
  }
  const library = from.startsWith('@') ? from.split('/').slice(0, 2).join('/') : from.split('/')[0]!;
  const allowed = [...(rule.libraries ?? []), ...(source.isTest ? [...testLibraries, 'protobufjs'] : [])];
  return allowed.includes(library) ? [] : [`${source.path}: may not import the library ${from}`];
}

describe('packages', () => {
  test('every package has a rule and every rule a package', () => {
    expect(Object.keys(rules).sort()).toEqual([...packageNames].sort());
  });

  test('imports follow the table', () => {
    const problems = sources.flatMap((source) => importsOf(source).flatMap((found) => problemsOf(source, found)));
    expect(problems).toEqual([]);
  });

  test('declared dependencies equal the table', () => {
    for (const name of packageNames) {
      const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
        dependencies?: Record<string, string>;
      };
      const declared = Object.keys(manifest.dependencies ?? {});
      const rule = rules[name]!;
      const allowed = new Set([...rule.own.map((own) => `@quorate/${own}`), ...(rule.libraries ?? [])]);
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

  test('pure packages touch no clock, chance, timer or process', () => {
    const problems = sources
      .filter((source) => rules[source.package]?.pure === true && !source.isTest)
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
      .filter((source) => /\bprocess\.(?!hrtime)/.test(withoutComments(source.text)))
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
    const marks = ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', '@ts-' + 'ignore', ' as ' + 'any'];
    const problems = sources.flatMap((source) =>
      marks.filter((mark) => new RegExp(`${mark}\\b`).test(source.text)).map((mark) => `${source.path}: ${mark}`),
    );
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
