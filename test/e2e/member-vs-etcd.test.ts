/**
 * Changes of members and moves of leadership, the same command lines against three members of ours and three of etcd: every line
 * must print the same and end with the same code, by etcdctl and by kvctl. Ids, ports and names are levelled; where a new member
 * stands among the others by its id is chance, so lists are sorted.
 */
import { MemberListRequest, services } from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ByteResult, neutralEnvironment, runBytes } from '../support/byte-command.ts';
import { type EtcdInstallation, installedEtcds } from '../support/etcd-process.ts';
import { kvctlProgram } from '../support/kvd-process.ts';
import { freePorts } from '../support/ports.ts';
import { RawClient } from '../support/raw-client.ts';
import { etcdTwin, kvdTwin, leveled, type Twin } from '../support/twins.ts';

const installations = installedEtcds();
const newest = installations.at(-1);
/** Without it etcd refuses changes until all members were connected for five seconds. */
const flags = ['--strict-reconfig-check=false'];

/** A client program and the variables it reads. */
interface Program {
  readonly name: string;
  readonly words: readonly string[];
}

const etcdctl = ({ version, etcdctl: path }: EtcdInstallation): Program => ({
  name: `etcdctl ${version}`,
  words: [path],
});
const kvctl: Program = { name: 'kvctl', words: [process.execPath, kvctlProgram] };

/** One line of the script. `NEW` is the id of the member added last, `OLD` of the one removed last, `M0` leads at first. */
interface Line {
  readonly words: string;
  /** Asked of this member alone; default: all are given. */
  readonly at?: number;
}

const script: readonly Line[] = [
  { words: 'member add' },
  { words: 'member add a b --peer-urls=http://127.0.0.1:1' },
  { words: 'member add a http://127.0.0.1:1' },
  { words: 'member add a' },
  { words: 'member add a --peer-urls=127.0.0.1:1' },
  { words: 'member add a --peer-urls=localhost:1' },
  { words: 'member add a --peer-urls=http://127.0.0.1' },
  { words: 'member add a --peer-urls=http://127.0.0.1:1/path' },
  { words: 'member add a --peer-urls=http://TAKEN' },
  { words: 'member remove' },
  { words: 'member remove zz' },
  { words: 'member remove 1 2' },
  { words: 'member remove 1' },
  { words: 'member remove 10000000000000000' },
  { words: 'member update' },
  { words: 'member update 1' },
  { words: 'member update zz --peer-urls=http://127.0.0.1:1' },
  { words: 'member update 1 --peer-urls=http://127.0.0.1:1' },
  { words: 'member promote' },
  { words: 'member promote zz' },
  { words: 'member promote 1' },
  { words: 'member promote 1', at: 1 },
  { words: 'member promote M1' },
  { words: 'member add voter --peer-urls=http://PORT0', at: 2 },
  { words: 'member list' },
  { words: 'member list -w json', at: 0 },
  { words: 'member update NEW --peer-urls=http://PORT1,http://PORT2' },
  { words: 'member update NEW --peer-urls=http://TAKEN' },
  { words: 'member update NEW --peer-urls=http://PORT1 -w json', at: 1 },
  { words: 'member promote NEW' },
  { words: 'member remove NEW', at: 1 },
  { words: 'member remove OLD' },
  { words: 'member update OLD --peer-urls=http://PORT3' },
  { words: 'member promote OLD' },
  { words: 'member add learner --learner --peer-urls=http://PORT3' },
  { words: 'member add learner --learner --peer-urls=http://PORT4' },
  { words: 'member promote NEW' },
  { words: 'member promote NEW', at: 2 },
  { words: 'move-leader NEW' },
  { words: 'member remove NEW -w json', at: 0 },
  { words: 'member add voter --peer-urls=http://PORT5,http://PORT6 -w json', at: 0 },
  { words: 'member remove NEW -w json', at: 0 },
  { words: 'move-leader' },
  { words: 'move-leader zz' },
  { words: 'move-leader 1' },
  { words: 'move-leader M0' },
  { words: 'move-leader M1', at: 1 },
  { words: 'move-leader M1' },
  { words: 'move-leader M2 -w json' },
];

interface Run {
  readonly twin: Twin;
  readonly program: Program;
  /** `NEW` and `OLD`. */
  readonly ids: { added: bigint; removed: bigint };
  readonly ports: readonly number[];
  readonly taken: string;
}

const [oldest] = installations;
if (oldest !== undefined) {
  describe(`etcdctl ${oldest.version} against ours, and against etcd ${newest!.version}`, () => {
    compare(etcdctl(oldest), etcdctl(oldest));
  });
}
if (newest === undefined) {
  test.skip('needs etcd and etcdctl, which are not installed here', () => {});
} else {
  describe(`kvctl against ours, and etcdctl ${newest.version} against etcd ${newest.version}`, () => {
    compare(kvctl, etcdctl(newest));
  });
}

function compare(ours: Program, theirs: Program): void {
  const runs: Run[] = [];
  beforeAll(async () => {
    runs.push(await begun(await kvdTwin(newest!.etcdctl, flags), ours));
    runs.push(await begun(await etcdTwin(newest!.etcdctl, newest!, flags), theirs));
  });
  afterAll(async () => {
    for (const { twin } of runs) await twin.close();
  });

  // The order matters: each line finds what the ones before it left.
  test.each(script.map((line, i) => ({ ...line, i })))('$i $words', async (line) => {
    const [mine, etcds] = await Promise.all(runs.map((run) => printed(run, line)));
    expect(mine, runs[0]!.twin.log().slice(-2_000)).toEqual(etcds);
  });
}

async function begun(twin: Twin, program: Program): Promise<Run> {
  const ports = await freePorts(7);
  const [member] = await membersOf(twin);
  const taken = member!.peerURLs[0]!.replace('http://', '');
  return { twin, program, ids: { added: 0n, removed: 0n }, ports, taken };
}

async function membersOf(twin: Twin) {
  const client = new RawClient(twin.members[0]!.endpoint);
  try {
    return (await client.call(services.cluster.methods.memberList, MemberListRequest.create())).members;
  } finally {
    client.close();
  }
}

async function printed(run: Run, { words, at }: Line): Promise<ByteResult> {
  const { twin, program, ids, ports, taken } = run;
  const before = await membersOf(twin);
  const args = words
    .replace(/\bM(\d)\b/, (_, i: string) => twin.members[Number(i)]!.id.toString(16))
    .replace('NEW', ids.added.toString(16))
    .replace('OLD', ids.removed.toString(16))
    .replace(/PORT(\d)/g, (_, i: string) => `127.0.0.1:${ports[Number(i)]}`)
    .replace('TAKEN', taken)
    .split(' ');
  const asked = at === undefined ? twin.members : [twin.members[at]!];
  const endpoints = asked.map(({ endpoint }) => endpoint).join(',');
  const env = { ...neutralEnvironment(), ETCDCTL_API: '3' };
  const result = await runBytes([...program.words, '--endpoints', endpoints, ...args], { env });
  const after = await membersOf(twin);
  const added = after.find((member) => before.every(({ id }) => id !== member.id));
  const removed = before.find((member) => after.every(({ id }) => id !== member.id));
  if (added !== undefined) ids.added = added.id;
  if (removed !== undefined) ids.removed = removed.id;
  const { code, stdout, stderr } = leveled(result, twin, args);
  return { code, stdout: canonical(stdout, run), stderr: canonical(stderr, run) };
}

function canonical(text: string, { ids, ports, taken }: Run): string {
  let out = text;
  const named = [
    [ids.added, '<new>'],
    [ids.removed, '<old>'],
  ] as const;
  for (const [id, name] of named) {
    if (id !== 0n) out = out.replace(new RegExp(` *\\b(?:${id}|${id.toString(16)})\\b`, 'g'), ` ${name}`);
  }
  // etcdctl 3.6 says so, older ones do not.
  out = out
    .replaceAll(taken, '<taken>')
    .replace(/ +(?=<cluster>)/g, ' ')
    .replace('added as learner to', 'added to');
  for (const [i, port] of ports.entries()) out = out.replaceAll(`127.0.0.1:${port}`, `<port ${i}>`);
  const cluster = /ETCD_INITIAL_CLUSTER="([^"]*)"/.exec(out)?.[1];
  if (cluster !== undefined) out = out.replace(cluster, cluster.split(',').sort().join(','));
  const inLines = out.replace('"members":[', '"members":[\n').replace(']}\n', '\n').replaceAll('},{', '}\n{');
  return inLines.split('\n').sort().join('\n');
}
