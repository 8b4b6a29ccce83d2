/**
 * Two clusters of three in the same situation, one of ours and one of real etcd, and what must be levelled before the outputs of
 * one command line against both can be compared. The members of each are numbered by the order of their ids, number 0 leads.
 *
 * What differs for a reason, and is replaced by its name: cluster and member ids, ports, names that go with ids, the raft term
 * and indices (etcd begins with other entries than we do), sizes of the store, the version, and how long a call took.
 */
import {
  AlarmResponse,
  type Codec,
  DeleteRangeResponse,
  MemberListResponse,
  PutResponse,
  RangeResponse,
} from '@quorate/proto';
import { type ByteResult, neutralEnvironment, runBytes } from './byte-command.ts';
import { type EtcdInstallation, EtcdProcess } from './etcd-process.ts';
import { KvdCluster, waitFor } from './kvd-process.ts';
import { RawClient } from './raw-client.ts';

/** One member as a client sees it. */
interface Member {
  readonly endpoint: string;
  readonly id: bigint;
}

/** A running cluster with its members by id. */
export interface Twin {
  readonly members: readonly Member[];
  readonly clusterId: bigint;
  /** What to add to a failure's message. */
  log(): string;
  close(): Promise<void>;
}

/** So slow that a busy machine does not make somebody else the leader in the middle of a comparison. */
const calm = ['--heartbeat-interval', '500', '--election-timeout', '5000'];

/** Three kvd members with a leader. */
export async function kvdTwin(etcdctl: string, flags: readonly string[] = []): Promise<Twin> {
  const cluster = await KvdCluster.start(3, [...calm, ...flags]);
  const log = (): string => cluster.members.map((member) => `${member.options.name}: ${member.log()}`).join('\n');
  return settled(etcdctl, cluster.endpoints, { log, close: () => cluster.close() });
}

/** Three etcd members with a leader. */
export async function etcdTwin(
  etcdctl: string,
  server: EtcdInstallation,
  flags: readonly string[] = [],
): Promise<Twin> {
  const members = await EtcdProcess.startCluster(3, server, [...calm, ...flags]);
  const close = async (): Promise<void> => {
    for (const member of members) member.stop();
  };
  const endpoints = members.map(({ endpoint }) => endpoint);
  return settled(etcdctl, endpoints, { log: () => '', close });
}

async function settled(
  etcdctl: string,
  endpoints: readonly string[],
  rest: Pick<Twin, 'log' | 'close'>,
): Promise<Twin> {
  try {
    const states = await Promise.all(endpoints.map(stateOf));
    const members = states.sort((a, b) => (a.id < b.id ? -1 : 1));
    const { id } = members[0]!;
    const transfer = [etcdctl, '--endpoints', endpoints.join(','), 'move-leader', id.toString(16)];
    await waitFor('the first member to lead', 30_000, async () => {
      const leaders = await Promise.all(endpoints.map(async (endpoint) => (await stateOf(endpoint)).leader));
      if (leaders.every((leader) => leader === id)) return true;
      await runBytes(transfer, { env: { ...neutralEnvironment(), ETCDCTL_API: '3' } });
      return undefined;
    });
    return { members, clusterId: members[0]!.clusterId, ...rest };
  } catch (error) {
    const log = rest.log();
    await rest.close();
    throw new Error(`the cluster did not settle\n${log}`, { cause: error });
  }
}

async function stateOf(endpoint: string): Promise<Member & { clusterId: bigint; leader: bigint }> {
  const client = new RawClient(endpoint);
  try {
    const { header, leader } = await client.status();
    return { endpoint, id: header!.memberId, clusterId: header!.clusterId, leader };
  } finally {
    client.close();
  }
}

/** The output of the command line `args` with everything replaced that may differ between twins. */
export function leveled(result: ByteResult, twin: Twin, args: readonly string[]): ByteResult {
  const decoded = args.includes('protobuf') ? protobufText(result.stdout, args) : result.stdout;
  const inOrder = isAbout('health', args) ? sortedLines : (text: string): string => text;
  return {
    code: result.code,
    stdout: inOrder(leveledText(decoded, twin, args)),
    stderr: inOrder(leveledText(withoutDiagnostics(result.stderr), twin, args)),
  };
}

/** Whether `word` is part of the command, if only by its beginning. */
function isAbout(word: string, args: readonly string[]): boolean {
  return args.some((arg) => arg.length >= 3 && word.startsWith(arg));
}

/** Log lines of the Go client carry times and addresses of its own objects, and so does the trace of a panic. */
function withoutDiagnostics(stderr: string): string {
  return stderr
    .replace(/^(?:\{"level":.*|Warning: endpoint .*)\n/gm, '')
    .replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ /gm, '')
    .replace(/^goroutine 1 \[running\]:[\s\S]*$/m, '<trace>');
}

function leveledText(text: string, twin: Twin, args: readonly string[]): string {
  let out = text;
  for (const [i, { id, endpoint }] of twin.members.entries()) {
    out = replaceId(out, id, `<member ${i}>`).replaceAll(endpoint, `<client ${i}>`);
  }
  out = replaceId(out, twin.clusterId, '<cluster>');
  out = out
    .replace(/\b\d+(?:\.\d+)?(?:ns|\xc2\xb5s|ms|s)\b/g, '<time>')
    .replace(/("raft_term":|"raftTerm":|"RaftTerm" : )\d+/g, '$1<term>')
    .replace(/("raft(?:Applied)?Index":|"Raft(?:Applied)?Index" : )\d+/g, '$1<index>')
    .replace(/("dbSize(?:InUse)?":|"DBSize(?:InUse)?" : )\d+/g, '$1<size>')
    .replace(/("version":|"Version" : )"3\.\d+\.\d+"/g, '$1<version>');
  if (isAbout('member', args)) out = leveledMembers(out);
  if (isAbout('status', args)) out = out.split('\n').map(leveledStatusRow).join('\n');
  // A table's columns are as wide as what stands in them.
  return args.includes('table')
    ? out
        .replace(/ +/g, ' ')
        .replace(/-+/g, '-')
        .replace(/(?:\xe2\x94\x80)+/g, '-')
    : out;
}

/** In decimal and in hex. */
function replaceId(text: string, id: bigint, by: string): string {
  return text.replace(new RegExp(`\\b(?:${id}n?|${id.toString(16)})\\b`, 'g'), by);
}

/** Names and peer ports go with ids, whose order is chance; which address belongs to which member is checked elsewhere. */
function leveledMembers(text: string): string {
  return text.replace(/\bm[1-3]\b/g, '<name>').replace(/http:\/\/127\.0\.0\.1:\d+/g, '<peer>');
}

const statusMasks: ReadonlyMap<number, string> = new Map([
  [2, '<version>'],
  [3, '<size>'],
  [6, '<term>'],
  [7, '<index>'],
  [8, '<index>'],
]);

/** `endpoint, id, version, size, leader, learner, term, index, applied index, errors`, between commas or in a table. */
function leveledStatusRow(row: string): string {
  if (!row.includes('<client') || row.includes('"')) return row;
  const inTable = row.startsWith('|') || row.startsWith('\xe2\x94\x82');
  const cells = inTable ? row.split(/\||\xe2\x94\x82/).slice(1, -1) : row.split(', ');
  const masked = cells.map((cell, i) => (statusMasks.get(i) ?? cell).trim());
  return inTable ? `| ${masked.join(' | ')} |` : masked.join(', ');
}

/** Answers come in the order in which they arrive. */
function sortedLines(text: string): string {
  return text
    .replaceAll('},{', '},\n{')
    .replace(/^\[|\]\n$/g, '')
    .replace(/,$/gm, '')
    .split('\n')
    .sort()
    .join('\n');
}

const answers: Readonly<Record<string, Codec<unknown>>> = {
  get: RangeResponse,
  put: PutResponse,
  del: DeleteRangeResponse,
  member: MemberListResponse,
  alarm: AlarmResponse,
};

/** A message as text, so that ids in it can be replaced. */
function protobufText(bytes: string, args: readonly string[]): string {
  const codec = args.map((word) => answers[word]).find((found) => found !== undefined);
  if (codec === undefined || bytes === '') return bytes;
  const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value);
  const text = JSON.stringify(codec.decode(Buffer.from(bytes, 'latin1')), plain, 1);
  return text.replace(/("raftTerm": )\d+/, '$1<term>');
}
