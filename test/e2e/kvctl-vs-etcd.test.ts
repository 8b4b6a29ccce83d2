/**
 * kvctl against etcdctl: every command line of the table runs through both, each against an etcd of its own that has seen the
 * same commands, and must print the same bytes and end with the same code. Runs with every etcd that is installed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EtcdInstallation, EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { runKvctlHere } from '../support/kvctl.ts';
import { kvctlProgram } from '../support/kvd-process.ts';
import {
  alarmCases,
  type CtlCase,
  type CtlResult,
  checkCases,
  clusterCases,
  ctlCases,
  leaseCases,
  masked,
  maskedStatus,
  maskedStatusCell,
  quotaCases,
  replaced,
} from './ctl-cases.ts';

const installations = installedEtcds();
/** The same for both twins, so that their ids are the same. */
const peerUrl = 'http://127.0.0.1:2380';

/** A port where nobody ever listens. */
const deadEndpoint = '127.0.0.1:1';

/** Runs a program with arguments of any bytes, which only a shell can pass on. */
function runProgram(words: readonly string[], { stdin = '', env = {} }: CtlCase, prefix: string): Promise<CtlResult> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('ETCD') && !name.startsWith('KVCTL'),
  );
  const own = Object.entries(env).map(([name, value]) => [`${prefix}_${name}`, value] as const);
  return new Promise((resolve, reject) => {
    // Input that is a socket makes bash believe it was called over a network and read ~/.bashrc, unless it is told not to.
    const child = spawn('/bin/bash', ['--norc', '-c', `exec ${words.map(shellQuoted).join(' ')}`], {
      env: Object.fromEntries([...inherited, ...own]),
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    child.stdout.on('data', (chunk: Buffer) => output.stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => output.stderr.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout: text(output.stdout), stderr: text(output.stderr) }));
    // A program that reads no input may be gone before it is written.
    child.stdin.on('error', () => {});
    child.stdin.end(Buffer.from(stdin, 'latin1'));
  });
}

function runEtcdctl({ etcdctl }: EtcdInstallation, line: CtlCase, target: string): Promise<CtlResult> {
  return runProgram([etcdctl, '--endpoints', target, ...line.args], line, 'ETCDCTL');
}

function shellQuoted(word: string): string {
  const escaped = [...word].map((char) => (/[\w./:=,-]/.test(char) ? char : `\\x${hex(char)}`));
  return `$'${escaped.join('')}'`;
}

function hex(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(2, '0');
}

function text(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).toString('latin1');
}

function targetOf({ endpoints }: CtlCase, endpoint: string): string {
  if (endpoints === undefined) return endpoint;
  return endpoints === 'dead' ? deadEndpoint : `${deadEndpoint},${endpoint}`;
}

/** What a result is reduced to before two of them are compared. */
function comparable(line: CtlCase, result: CtlResult, endpoint: string): unknown {
  const named = replaced(
    replaced(masked(result), endpoint.slice(endpoint.lastIndexOf(':')), ':PORT'),
    deadEndpoint,
    'DEAD',
  );
  const stdout = asciiBoxes(named.stdout);
  switch (line.compared ?? 'all') {
    case 'refusal':
      return { code: named.code, refusal: named.stderr.split('\n', 1)[0]!.replace('"etcdctl"', '"kvctl"') };
    case 'status':
      return { ...named, stdout: statusColumns(line, stdout) };
    default:
      return { ...named, stdout: withoutZeroRevision(line, stdout) };
  }
}

/** Debian builds etcdctl 3.5 with a library that draws other lines than etcd's releases do. */
function asciiBoxes(stdout: string): string {
  return Buffer.from(stdout, 'latin1')
    .toString()
    .replace(/[┌┬┐├┼┤└┴┘]/g, '+')
    .replaceAll('─', '-')
    .replaceAll('│', '|');
}

/** Since 3.6 the fields format leaves out the revision of answers that have none. */
function withoutZeroRevision(line: CtlCase, stdout: string): string {
  return line.args.includes('member') ? stdout.replace('"Revision" : 0\n', '') : stdout;
}

const newFields = /^"(?:StorageVersion|DBSizeInUse|DBSizeQuota|DowngradeTargetVersion|DowngradeEnabled)" : .*\n/gm;

/** A status without what came with 3.6 and without what depends on the moment. */
function statusColumns({ args }: CtlCase, stdout: string): unknown {
  if (args.includes('fields')) return maskedStatus(stdout.replace(newFields, ''));
  if (args.includes('json')) return maskedStatus(stdout);
  const rows = stdout.split('\n').filter((row) => row !== '' && !row.startsWith('+'));
  if (!args.includes('table')) return rows.map((row) => oldCells(row.split(', ')));
  return rows.map((row) => oldCells(row.split('|').slice(1, -1)));
}

const columns = (
  'endpoint,ID,version,storage version,db size,in use,percentage not in use,quota,is leader,is learner,' +
  'raft term,raft index,raft applied index,errors,downgrade target version,downgrade enabled'
).split(',');
const isNew = (column: string): boolean => /storage version|in use|quota|downgrade/.test(column);
const oldColumns = columns.filter((column) => !isNew(column));

function oldCells(cells: readonly string[]): string[] {
  const names = cells.length === columns.length ? columns : oldColumns;
  return cells.flatMap((cell, i) => (isNew(names[i]!) ? [] : [maskedStatusCell(cell, names[i]!)]));
}

function nameOf({ args, stdin, env, endpoints }: CtlCase): string {
  const words = args.map((word) =>
    /^[\x21-\x7e]+$/.test(word) && word.length < 40 ? word : JSON.stringify(word.slice(0, 40)),
  );
  const input = stdin === undefined ? '' : ` < ${JSON.stringify(stdin.slice(0, 60))}`;
  const variables = Object.entries(env ?? {})
    .map(([name, value]) => `${name}=${value} `)
    .join('');
  return `${variables}${words.join(' ')}${input}${endpoints === undefined ? '' : ` at ${endpoints}`}`;
}

/** The leases that one of two twins was asked for, whose ids are chance. */
class Leases {
  readonly #ids: bigint[] = [];

  /** `$0` becomes the first one. */
  filledIn(line: CtlCase): CtlCase {
    const args = line.args.map((word) => {
      const id = /^\$\d+$/.test(word) ? this.#ids[Number(word.slice(1))] : undefined;
      return id === undefined ? word : id.toString(16);
    });
    return { ...line, args };
  }

  /** The result with ids and what is left of times replaced; notes a lease that this line was granted. */
  leveled({ args }: CtlCase, result: CtlResult): CtlResult {
    const id = args.includes('grant') ? grantedId(result.stdout) : undefined;
    if (id !== undefined) this.#ids.push(id);
    return { code: result.code, stdout: this.#text(result.stdout), stderr: this.#text(result.stderr) };
  }

  #text(text: string): string {
    let out = text
      .replace(/remaining\(\d+s\)/g, 'remaining(<left>)')
      .replace(/("ttl":|"TTL" : )(?:59\d|600)\b/g, '$1<left>');
    for (const [n, id] of this.#ids.entries()) {
      out = out.replaceAll(id.toString(16).padStart(16, '0'), `<lease ${n}>`).replaceAll(String(id), `<lease ${n}>`);
    }
    // etcd lists keys in the order of a Go map.
    const sorted = (list: string, by: string): string => list.split(by).sort().join(by);
    return out
      .replace(/(attached keys\(\[)(.*)\]/, (_, before: string, keys: string) => `${before}${sorted(keys, ' ')}]`)
      .replace(/("keys":\[)(.*)\]/, (_, before: string, keys: string) => `${before}${sorted(keys, ',')}]`)
      .replace(/(?:^"Key" : .*\n)+/m, (keys) => sorted(keys, '\n'));
  }
}

function grantedId(stdout: string): bigint | undefined {
  const found = /^lease ([0-9a-f]{16}) granted/.exec(stdout)?.[1];
  const decimal = /"ID"(?:| ): ?(\d+)/.exec(stdout)?.[1];
  return found !== undefined ? BigInt(`0x${found}`) : decimal !== undefined ? BigInt(decimal) : undefined;
}

function compareAll(installation: EtcdInstallation, cases: readonly CtlCase[], flags: readonly string[]): void {
  let theirs: EtcdProcess | undefined;
  let ours: EtcdProcess | undefined;
  const theirLeases = new Leases();
  const ourLeases = new Leases();

  beforeAll(async () => {
    theirs = await EtcdProcess.start({ installation, flags, peerUrl });
    ours = await EtcdProcess.start({ installation, flags, peerUrl });
  });
  afterAll(() => {
    theirs?.stop();
    ours?.stop();
  });

  // The order matters: each line finds what the ones before it left.
  test.each(cases.map((line) => [nameOf(line), line] as const))('%s', async (_name, line) => {
    const their = theirs!.endpoint;
    const our = ours!.endpoint;
    const [expected, actual] = await Promise.all([
      runEtcdctl(installation, theirLeases.filledIn(line), targetOf(line, their)).then((result) =>
        theirLeases.leveled(line, result),
      ),
      runKvctlHere(ourLeases.filledIn(line), targetOf(line, our)).then((result) => ourLeases.leveled(line, result)),
    ]);
    const { kvctlDiffers: difference } = line;
    if (difference?.from.includes(installation.minor) !== true) {
      expect(comparable(line, actual, our)).toEqual(comparable(line, expected, their));
      return;
    }
    const { code, stdout = /^$/, stderr = /^$/ } = difference.kvctl;
    expect(actual).toEqual({ code, stdout: expect.stringMatching(stdout), stderr: expect.stringMatching(stderr) });
    expect(comparable(line, actual, our), 'there is no difference any more').not.toEqual(
      comparable(line, expected, their),
    );
  });
}

for (const installation of installations) {
  describe(`like etcdctl ${installation.version}`, () => {
    compareAll(installation, [...ctlCases, ...checkCases], []);
  });
  describe(`like etcdctl ${installation.version} with leases`, () => {
    compareAll(installation, leaseCases, []);
  });
  describe(`like etcdctl ${installation.version} when the space runs out`, () => {
    compareAll(installation, quotaCases, ['--quota-backend-bytes', '200000']);
  });
}

describe.runIf(installations.length > 0)('a cluster of three', () => {
  const installation = installations.at(-1)!;
  let members: EtcdProcess[] = [];
  beforeAll(async () => {
    members = await EtcdProcess.startCluster(3, installation);
  });
  afterAll(() => {
    for (const member of members) member.stop();
  });

  /** Both programs against the same members: the lines change nothing. Health is printed in the order of the answers. */
  test.each([
    ...['simple', 'json', 'table', 'fields', 'protobuf'].map((format) => `member list -w ${format}`),
    ...['simple', 'json', 'table', 'fields'].map((format) => `endpoint status --cluster -w ${format}`),
    'endpoint health --cluster',
    'endpoint health',
    'endpoint status',
    'get nothing -w fields',
  ])('%s', async (words) => {
    const line: CtlCase = { args: words.split(' '), ...(words.includes('status') ? { compared: 'status' } : {}) };
    // Where the answer names the member that gave it, only one is asked.
    const asked = words.startsWith('endpoint') ? members : members.slice(0, 1);
    const target = asked.map(({ endpoint }) => endpoint).join(',');
    const expected = comparable(line, await runEtcdctl(installation, line, target), target);
    const actual = comparable(line, await runKvctlHere(line, target), target);
    expect(words.includes('health') ? inLines(actual) : actual).toEqual(
      words.includes('health') ? inLines(expected) : expected,
    );
  });

  test('commands go on with one follower dead, and say what is left', async () => {
    const target = members.map(({ endpoint }) => endpoint).join(',');
    const run = (words: string): Promise<CtlResult> => runKvctlHere({ args: words.split(' ') }, target);
    const status = await run('endpoint status');
    const leader = /^(\S+), .*%, [^,]+, true,/m.exec(status.stdout)![1];
    const dead = members.find(({ endpoint }) => endpoint !== leader)!;
    await dead.kill();
    for (let i = 0; i < 4; i += 1) expect(await run(`put key-${i} value`)).toMatchObject({ code: 0, stdout: 'OK\n' });
    expect(await run('get key- --prefix --print-value-only')).toMatchObject({ stdout: 'value\n'.repeat(4) });
    const health = await run('endpoint health --command-timeout 2s');
    expect(health.code).toBe(1);
    expect(health.stderr).toContain(
      `${dead.endpoint} is unhealthy: failed to commit proposal: context deadline exceeded\n`,
    );
    expect(health.stdout.match(/ is healthy/g)).toHaveLength(2);
    await dead.up();
    expect(await run('endpoint health')).toMatchObject({ code: 0, stderr: '' });
  });
});

function inLines(result: unknown): string[] {
  return String((result as CtlResult).stdout)
    .split('\n')
    .sort();
}

describe.runIf(installations.length > 0)('the program', () => {
  let etcd: EtcdProcess | undefined;
  beforeAll(async () => {
    etcd = await EtcdProcess.start({ installation: installations.at(-1)! });
  });
  afterAll(() => etcd?.stop());

  const kvctl = (args: readonly string[], more: Partial<CtlCase> = {}): Promise<CtlResult> =>
    runProgram([process.execPath, kvctlProgram, '--endpoints', etcd!.endpoint, ...args], { args, ...more }, 'KVCTL');

  test('passes arguments of any bytes on', async () => {
    expect(await kvctl(['put', '\xff\xfekey', 'value\x80'])).toEqual({ code: 0, stdout: 'OK\n', stderr: '' });
    expect(await kvctl(['get', '\xff', '--prefix'])).toEqual({
      code: 0,
      stdout: '\xff\xfekey\nvalue\x80\n',
      stderr: '',
    });
  });

  test('reads standard input whole', async () => {
    const value = Array.from({ length: 300_000 }, (_, i) => String.fromCharCode(i % 256)).join('');
    expect(await kvctl(['put', 'large'], { stdin: value })).toMatchObject({ code: 0, stdout: 'OK\n' });
    expect(await kvctl(['get', 'large', '--print-value-only'])).toMatchObject({ code: 0, stdout: `${value}\n` });
  });

  test('does not wait for input it does not need', async () => {
    const words = [kvctlProgram, '--endpoints', etcd!.endpoint, 'put', 'quick', 'v'];
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'ignore', 'inherit'], timeout: 30_000 });
    const [code] = await once(child, 'exit');
    child.stdin!.end();
    expect(code).toBe(0);
    expect(await kvctl(['get', 'quick'])).toMatchObject({ stdout: 'quick\nv\n' });
  });

  test('refuses a format that cannot show the answer before it writes', async () => {
    expect(await kvctl(['put', 'unwritten', 'v', '-w', 'table'])).toEqual({
      code: 4,
      stdout: '',
      stderr: 'Error: table not supported as output format\n',
    });
    expect(await kvctl(['get', 'unwritten'])).toMatchObject({ stdout: '' });
  });

  test('ends quietly when its reader leaves', async () => {
    await kvctl(['put', 'long'], { stdin: 'x'.repeat(1_000_000) });
    const line = `${process.execPath} ${kvctlProgram} --endpoints ${etcd!.endpoint} get long | head -c 4`;
    const result = await runProgram(['bash', '--norc', '-c', `${line}; exit $\{PIPESTATUS[0]}`], { args: [] }, 'KVCTL');
    expect(result).toMatchObject({ stdout: 'long', stderr: '' });
  });
});

if (installations.length === 0) test.skip('needs etcd and etcdctl, which are not installed here', () => {});

test('the tables for clusters hold no line that only one of the two programs knows', () => {
  const names = [...clusterCases, ...alarmCases].map(nameOf);
  expect(new Set(names).size).toBe(names.length);
});
