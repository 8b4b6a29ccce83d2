/**
 * Command lines of etcdctl, in an order in which each finds what the ones before it left, with what may differ between runs.
 * One table, two uses: kvctl must print what etcdctl prints, and a cluster of ours must make etcdctl print what etcd does.
 *
 * Arguments and input are byte strings, one character per byte, because keys and values need not be text.
 */

/** How much of the output counts. */
export type Compared =
  /** Standard output, standard error and exit code. */
  | 'all'
  /** The same without the help text: its first line on standard error, and the exit code. */
  | 'refusal'
  /** Standard output as the columns of an endpoint's status that all versions have; the rest in full. */
  | 'status';

export interface CtlCase {
  /** The command line without --endpoints. */
  readonly args: readonly string[];
  readonly stdin?: string;
  /** Variables without their program's prefix: `WRITE_OUT` for ETCDCTL_WRITE_OUT and KVCTL_WRITE_OUT. */
  readonly env?: Readonly<Record<string, string>>;
  /** `dead`: nobody listens there · `both`: a dead endpoint, then the member's. Default: the member's. */
  readonly endpoints?: 'dead' | 'both';
  /** Default: all. */
  readonly compared?: Compared;
  /** Versions of etcdctl that kvctl does not follow here. It follows 3.6; older ones crash on some lines or lack the flag. */
  readonly kvctlDiffers?: Difference;
}

/** How kvctl's answer differs from that of some versions of etcdctl. */
export interface Difference {
  readonly from: readonly string[];
  readonly because: string;
  /** What kvctl does instead. */
  readonly kvctl: { readonly code: number; readonly stdout?: RegExp; readonly stderr?: RegExp };
}

/** A command line in words separated by spaces, for words without spaces. */
function line(text: string, more: Omit<CtlCase, 'args'> = {}): CtlCase {
  return { args: text === '' ? [] : text.split(' '), ...more };
}

function txn(stdin: string, more: Partial<CtlCase> = {}): CtlCase {
  return { args: ['txn'], stdin, ...more };
}

function refused(text: string, more: Partial<CtlCase> = {}): CtlCase {
  return line(text, { compared: 'refusal', ...more });
}

const formats = ['simple', 'json', 'fields'] as const;

function inFormats(text: string, more: Omit<CtlCase, 'args'> = {}): CtlCase[] {
  return formats.map((format) => line(`-w ${format} ${text}`, more));
}

type Instead = Difference['kvctl'];
const newerThan34 = (kvctl: Instead): Difference => ({ from: ['3.4'], because: '3.4 has no such flag', kvctl });
const onlyIn36 = (kvctl: Instead): Difference => ({ from: ['3.4', '3.5'], because: 'it came with 3.6', kvctl });
const crash = (kvctl: Instead): Difference => ({ from: ['3.4', '3.5'], because: 'etcdctl panics', kvctl });
const renamed: Difference = {
  from: ['3.4'],
  because: '3.4 names the parts of a transaction after its Go types',
  kvctl: { code: 0, stdout: /"responses":\[\{"Response":\{"response_/ },
};
const healthOnStderr = (kvctl: Instead): Difference => ({
  from: ['3.4'],
  because: '3.4 writes good news to standard error',
  kvctl,
});
const healthWithoutAlarms: Difference = {
  from: ['3.4'],
  because: '3.4 does not look at alarms',
  kvctl: { code: 1, stdout: /(?:)/, stderr: /Error: unhealthy cluster\n$/ },
};

const utf8 = (text: string): string => Buffer.from(text).toString('latin1');
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1');
const printable = utf8('tab\tnl\nquote"back\\slash é 日本 \u200b \u{1f600} \u0085 \u00ad \ufffd \ufeff');

export const putCases: readonly CtlCase[] = [
  line('put a 1'),
  ...inFormats('put a 2'),
  ...inFormats('put a 3 --prev-kv'),
  line('-w simple --hex put new 1 --prev-kv'),
  line('-w json --hex put new 1 --prev-kv'),
  line('-w fields --hex put new 1 --prev-kv', {
    kvctlDiffers: onlyIn36({
      code: 0,
      stdout: /^"ClusterID" : 1c45a069f3a1d796\n[\s\S]*"PrevLease" : 0000000000000000\n$/,
    }),
  }),
  line('put new 2 --prev-kv --hex'),
  line('put --prev-kv=true a 4'),
  line('put --prev-kv=false a 5'),
  line('put --prev-kv=T --prev-kv=0 a 6'),
  line('put ignored-words v w x'),
  { args: ['put', 'empty', ''] },
  { args: ['put', '', 'v'] },
  { args: ['put', '--', '-dash', '--value'] },
  { args: ['put', 'dash', '--', '-v'] },
  refused('put -zeta v'),
  line('put stdin', { stdin: 'from\nstdin\n' }),
  line('put stdin-bytes', { stdin: allBytes }),
  line('put stdin-empty', { stdin: '' }),
  line('put'),
  line('put', { stdin: 'no key' }),
  { args: ['put', utf8('schlüssel/日本'), utf8('wert\u00e9')] },
  { args: ['put', '\xff\xfe\x01', '\x80\xc3'] },
  { args: ['put', printable, printable] },
  { args: ['put', 'a b', 'with  spaces'] },
  line('put a --ignore-value'),
  line('put a --ignore-value --prev-kv'),
  line('put a v --ignore-value'),
  line('put missing --ignore-value'),
  line('put missing v --ignore-lease'),
  line('put a 7 --ignore-lease'),
  line('put a v --lease 1234'),
  line('put a v --lease=0'),
  line('put a v --lease xyz'),
  line('put a v --lease 10000000000000000'),
  line('put a v --lease -1'),
  line('put p/1 one'),
  line('put p/2 two'),
  line('put p/3 three'),
  line('put p0 outside'),
  { args: ['put', 'z\xff', 'end of its prefix'] },
  { args: ['put', '\xff\xff', 'last'] },
];

export const getCases: readonly CtlCase[] = [
  ...[...formats, 'protobuf'].map((format) => line(`get a -w ${format}`)),
  ...inFormats('get p/ --prefix'),
  ...inFormats('get nothing'),
  line('get a -w table'),
  line('get a -w nonsense'),
  line('get'),
  { args: ['get', ''] },
  { args: ['get', '', '--prefix'] },
  { args: ['get', '', '--prefix', '-w', 'json'] },
  { args: ['get', '', '--prefix', '-w', 'fields'] },
  { args: ['get', '', '--prefix', '--hex'] },
  { args: ['get', '', '--from-key', '--keys-only'] },
  line('get p/2 --from-key --keys-only'),
  { args: ['get', '\xff\xfe\x01', '-w', 'fields'] },
  { args: ['get', '\xff\xfe\x01', '--hex'] },
  { args: ['get', '\xff', '--prefix'] },
  { args: ['get', 'z\xff', '--prefix'] },
  { args: ['get', utf8('schlüssel/'), '--prefix'] },
  { args: ['get', 'a b'] },
  line('get p/1 p/3'),
  line('get p/3 p/1'),
  line('get p/1 p/3 more words'),
  { args: ['get', 'p/2', '\x01'] },
  line('get p --prefix --limit 2'),
  line('get p --prefix --limit 2 -w fields'),
  line('get p --prefix --limit 0x1'),
  line('get p --prefix --limit -1'),
  line('get p --prefix --limit 4 -w json'),
  line('get p --prefix --keys-only -w json'),
  line('get p --prefix --print-value-only'),
  line('get p --prefix --print-value-only --hex'),
  line('get p --print-value-only -w json'),
  line('get p --prefix --count-only -w fields', {
    kvctlDiffers: newerThan34({ code: 0, stdout: /"More" : false\n"Count" : 4\n$/ }),
  }),
  line('get p --prefix --count-only', {
    kvctlDiffers: newerThan34({ code: 128, stderr: /^Error: --count-only is only for `--write-out=fields`\n$/ }),
  }),
  line('get p --prefix --count-only --keys-only', {
    kvctlDiffers: newerThan34({
      code: 128,
      stderr: /^Error: `--keys-only` and `--count-only` cannot be set at the same time/,
    }),
  }),
  ...['CREATE', 'KEY', 'MODIFY', 'VALUE', 'VERSION', 'value'].flatMap((target) =>
    ['ASCEND', 'DESCEND', 'descend'].map((order) => line(`get p --prefix --sort-by=${target} --order=${order}`)),
  ),
  line('get p --prefix --sort-by VALUE'),
  line('get p --prefix --order DESCEND --limit 2'),
  line('get p --order sideways'),
  line('get p --sort-by colour'),
  line('get a --consistency s'),
  line('get a --consistency=l'),
  line('get a --consistency x'),
  line('get a --rev 2'),
  line('get a --rev 2 -w json'),
  line('get a --rev 3 -w fields'),
  line('get a --rev 0'),
  line('get a --rev -7'),
  line('get a --rev 99999'),
  line('get a --rev 9223372036854775807'),
  line('get a --prefix --from-key'),
  line('get a b --prefix'),
  line('get a b --from-key'),
  line('get p/ --prefix --keys-only --min-mod-rev 3', {
    kvctlDiffers: onlyIn36({ code: 0, stdout: /^p\/1\n\np\/2\n\np\/3\n\n$/ }),
  }),
  line('get p/ --prefix --max-create-rev 3', { kvctlDiffers: onlyIn36({ code: 0, stdout: /^$/ }) }),
];

export const delCases: readonly CtlCase[] = [
  line('put d/1 one'),
  line('put d/2 two'),
  line('put d/3 three'),
  line('put d/4 four'),
  line('put d/5 five'),
  line('put d/6 six'),
  line('del nothing'),
  ...inFormats('del nothing --prev-kv'),
  line('del d/1'),
  line('del d/2 --prev-kv'),
  line('del d/3 --prev-kv -w json'),
  line('del d/4 --prev-kv -w fields'),
  line('del d/5 --prev-kv --hex'),
  line('del'),
  line('del a b c'),
  line('del a --prefix --from-key'),
  line('del a b --prefix'),
  line('del d/ --prefix --prev-kv -w json'),
  line('del d/ --prefix -w protobuf'),
  { args: ['del', ''] },
  // Finds nothing: etcdctl refuses the flag, and from here on both stores must stay the same.
  line('del e/1 e/2 --range', { kvctlDiffers: newerThan34({ code: 0, stdout: /^0\n$/ }) }),
];

export const txnCases: readonly CtlCase[] = [
  ...[['txn'], ['txn', '-i'], ['txn', '--interactive'], ['txn', '-w', 'json'], ['txn', '-w', 'fields']].map((args) => ({
    args,
    stdin: 'value("a") = "v"\n\nput t/1 "one two"\nget a\ndel t/0 --prev-kv\n\nget nothing\n\n',
    ...(args.includes('json') ? { kvctlDiffers: renamed } : {}),
  })),
  txn('value("a") = "other"\n\nput t/1 no\n\nput t/1 yes --prev-kv\nget t/ --prefix --keys-only\n\n'),
  txn('\nput t/2 v\nput t/3 v\n\n\n'),
  txn('\nget t/ --prefix --limit 1\nget t/ --prefix --order descend\n\n\n', {
    args: ['txn', '-w', 'json'],
    kvctlDiffers: renamed,
  }),
  txn('\ndel t/2\ndel t/ --prefix --prev-kv\n\n\n'),
  txn('\n\n\n'),
  txn('\n\n\n', { args: ['txn', '-w', 'json'] }),
  txn(
    'version("a") > "0"\nver("a") != "0"\ncreate("a") < "9999"\nc("a") = "2"\nmod("a") > "2"\nm("a") > "2"\n\nget a\n\n\n',
  ),
  txn('val("a") > "u"\nvalue("a") < "w"\n\nget a\n\n\n'),
  txn('lease("a") = "0"\nlease("a") < "ff"\n\nget a\n\n\n', {
    kvctlDiffers: crash({ code: 0, stdout: /^SUCCESS\n\na\nv\n$/ }),
  }),
  txn('value("missing") != "x"\n\n\nget a --keys-only\n\n'),
  txn('version("missing") = "0"\n\nput t/created yes\n\n\n'),
  txn('mod("a") > "0" what follows is ignored\n\nget a\n\n\n'),
  txn('  mod("a")   >   "0"  \n\n  get   a  \n\n\n'),
  txn('mod(`a`) > `0`\n\nget a\n\n\n'),
  txn('value("\\x61") = "\\067"\n\nget a\n\n\n'),
  txn('\nput "t/q\\"uote" "line\\nbreak\\t\\u00e9"\n\n\n'),
  txn("\nput t/single 'no \\n escape'\nget t/q --prefix\n\n\n"),
  txn('\nget t/single\n\n\n', {
    kvctlDiffers: {
      from: ['3.4'],
      because: '3.4 cuts single quoted words short',
      kvctl: { code: 0, stdout: /^SUCCESS\n\nt\/single\nno \\n escape\n$/ },
    },
  }),
  txn(`\nput ${utf8('t/ключ')} ${utf8('значение à')}\n\n\n`),
  txn(`\nget ${utf8('t/к')} --prefix\n\n\n`),
  txn('\nput k v1\nput k v2\n\n\n'),
  txn(`\n${Array.from({ length: 129 }, (_, i) => `put many/${i} v\n`).join('')}\n\n`),
  txn('\npu t/short v\nge a\n\n\n'),
  txn(''),
  txn('\n'),
  txn('\n\n'),
  txn('mod("a") > "0"'),
  txn('nonsense\n'),
  txn('nonsense("a") = "1"\n'),
  txn('mod("a")\n'),
  txn('mod(a) = "1"\n'),
  txn('mod("a" = "1"\n'),
  txn('mod("a") = 1\n'),
  txn('mod("a")="1"\n'),
  txn('mod( "a") = "1"\n\n\n\n'),
  txn('mod( "a" ) = "1"\n'),
  txn('mod("a\\q") = "1"\n'),
  txn('mod("a") =\n'),
  txn('mod("a") = "x"\n', {
    kvctlDiffers: {
      from: ['3.4', '3.5'],
      because: 'newer versions add the reason',
      kvctl: {
        code: 3,
        stderr:
          /^Error: invalid txn compare request: mod\("a"\) = "x" \(strconv.ParseInt: parsing "x": invalid syntax\)\n$/,
      },
    },
  }),
  txn('mod("a") == "1"\n', {
    kvctlDiffers: crash({ code: 3, stderr: /^Error: malformed comparison: .*unknown operator ==/ }),
  }),
  txn('mod("a") ? "1"\n', {
    kvctlDiffers: crash({ code: 3, stderr: /^Error: malformed comparison: .*unknown operator \?/ }),
  }),
  txn('lease("a") = "zz"\n', {
    kvctlDiffers: crash({ code: 3, stderr: /^Error: invalid txn compare request: lease/ }),
  }),
  txn('\nput\n\n\n'),
  txn('\nput k\n\n\n'),
  txn('\nnonsense k\n\n\n'),
  txn('\nwatch k\n\n\n'),
  txn('\nput k "bad \\q escape"\n\n\n'),
  txn('\nget a --prefix --from-key\n\n\n'),
  txn('\nget a --order sideways\n\n\n'),
  txn('\ndel a b c\n\n\n'),
  txn('\nput k v --lease nope\n\n\n'),
  txn('\nput k v --no-such-flag\n\n\n', {
    kvctlDiffers: {
      from: ['3.4', '3.5'],
      because: 'etcdctl prints the usage of an inner command as well',
      kvctl: { code: 3, stderr: /^Error: invalid txn request: put k v --no-such-flag\n$/ },
    },
  }),
  line('txn with arguments'),
  txn('\nget a\n\n\n', { args: ['txn', '-w', 'table'] }),
];

export const compactionCases: readonly CtlCase[] = [
  line('compaction 3'),
  line('compaction 3'),
  line('compaction 2'),
  line('compaction 5 --physical'),
  line('compact 6'),
  line('compaction 7 -w json'),
  line('compaction'),
  line('compaction 1 2'),
  line('compaction x'),
  line('compaction 0x10'),
  line('compaction 99999999'),
  line('compaction 99999999999999999999'),
  refused('compaction -1'),
  line('get a --rev 4'),
  line('get a --rev 7'),
  line('get a --rev 2 -w json'),
];

export const clusterCases: readonly CtlCase[] = [
  line('member list'),
  line('member list -w json'),
  line('member list -w table'),
  line('member list -w fields'),
  line('member list -w protobuf'),
  line('member list --hex'),
  line('member list --hex -w json', {
    kvctlDiffers: {
      from: ['3.4', '3.5'],
      because: '3.4 has no hex here, 3.5 misspells clientURLs',
      kvctl: {
        code: 0,
        stdout:
          /^\{"header":\{"cluster_id":"1c45a069f3a1d796","member_id":"b71f75320dc06a6c","raft_term":2\},"members":\[\{"ID":"b71f75320dc06a6c","name":"oracle","peerURLs":\["http:\/\/127.0.0.1:2380"\],"clientURLs":\["http:\/\/127.0.0.1:\d+"\]\}\]\}\n$/,
      },
    },
  }),
  line('member list --consistency s', {
    kvctlDiffers: onlyIn36({ code: 0, stdout: /^b71f75320dc06a6c, started, oracle, / }),
  }),
  line('mem l'),
  ...['simple', 'json', 'table', 'fields'].flatMap((format) => [
    line(`endpoint status -w ${format}`, { compared: 'status' }),
    line(`endpoint status --cluster -w ${format}`, { compared: 'status' }),
    line(
      `endpoint health -w ${format}`,
      format === 'simple' ? { kvctlDiffers: healthOnStderr({ code: 0, stdout: /is healthy/ }) } : {},
    ),
  ]),
  line('endpoint health --cluster', { kvctlDiffers: healthOnStderr({ code: 0, stdout: /^http:.* is healthy/ }) }),
  line('endpoint health -w protobuf'),
  line('endpoint status -w protobuf'),
  line('endpoint status --cluster=false', { compared: 'status' }),
  line('endpoint status', { env: { CLUSTER: 'true' }, compared: 'status' }),
  line('endp stat', { compared: 'status' }),
];

export const alarmCases: readonly CtlCase[] = [
  line('alarm list'),
  line('alarm list -w json'),
  line('alarm list -w fields', {
    kvctlDiffers: {
      from: ['3.4'],
      because: 'etcdctl panics: its server sends no header',
      kvctl: { code: 0, stdout: /"RaftTerm" : 0\n/ },
    },
  }),
  line('alarm list -w protobuf'),
  line('alarm list -w table'),
  line('alarm disarm'),
  line('alarm disarm -w json'),
  line('alarm disarm -w fields', {
    kvctlDiffers: crash({ code: 0, stdout: /^"ClusterID" : 0\n"MemberID" : 0\n"RaftTerm" : 0\n$/ }),
  }),
  line('alarm list x'),
  line('alarm disarm x'),
  line('al l'),
];

/** For a member whose quota is 200 kB: one large value is enough to raise the alarm, whatever the file's size is just then. */
export const quotaCases: readonly CtlCase[] = [
  line('put small value'),
  line('put large', { stdin: 'x'.repeat(200_000) }),
  line('put one more'),
  txn('\nput one more\n\n\n'),
  line('get one'),
  line('alarm list'),
  line('alarm list -w json'),
  line('alarm list -w fields', {
    kvctlDiffers: {
      from: ['3.4'],
      because: 'etcdctl panics: its server sends no header',
      kvctl: { code: 0, stdout: /"RaftTerm" : 0\n/ },
    },
  }),
  line('alarm list -w protobuf'),
  ...['simple', 'json', 'fields'].map((format) =>
    line(`endpoint status -w ${format}`, { compared: 'status' as const }),
  ),
  line('endpoint status -w table', {
    compared: 'status',
    kvctlDiffers: {
      from: ['3.5'],
      because: "Debian's 3.5 is built with a table library that does not break long cells",
      kvctl: { code: 0, stdout: /\| {2}memberID:13195394291058371180 \|[\s\S]*\| {17}alarm:NOSPACE {2}\|/ },
    },
  }),
  ...['simple', 'json', 'table', 'fields'].map((format) =>
    line(`endpoint health -w ${format}`, { kvctlDiffers: healthWithoutAlarms }),
  ),
  line('del small'),
  line('put one more'),
  line('alarm disarm -w json'),
  line('alarm list'),
  line('put one more'),
  line('alarm disarm'),
];

/** `$0`, `$1`, … stand for the leases that lines before were granted. Not part of {@link ctlCases}: only who knows the ids can run them. */
export const leaseCases: readonly CtlCase[] = [
  ...inFormats('lease list'),
  line('lease list -w protobuf'),
  line('lease list -w table'),
  line('lease list words that are ignored'),
  line('lease grant 600'),
  line('lease grant 600 -w json'),
  line('lease grant 600 -w fields'),
  line('lease grant 600 -w protobuf'),
  line('lease grant 600 -w table'),
  line('lease grant 0'),
  line('lease grant 0600'),
  line('lease grant'),
  line('lease grant 1 2'),
  line('lease grant x'),
  line('lease grant 0x10'),
  line('lease grant 99999999999999999999'),
  line('lease grant 9000000001'),
  refused('lease grant -1'),
  line('put l/1 v --lease $0'),
  { args: ['put', 'l/with "quote', 'v', '--lease', '$0'] },
  line('get l/1 -w json'),
  line('get l/1 -w fields'),
  ...inFormats('lease timetolive $0'),
  ...inFormats('lease timetolive $0 --keys'),
  line('lease timetolive $0 --keys -w protobuf'),
  line('lease timetolive $0 --keys -w table'),
  line('lease timetolive $0 --keys=false'),
  line('lease timetolive'),
  line('lease timetolive x'),
  line('lease timetolive 0x12'),
  line('lease timetolive 10000000000000000'),
  ...inFormats('lease timetolive 1234'),
  ...inFormats('lease timetolive 1234 --keys'),
  line('lease timetolive 1234 --hex'),
  line('lease revoke'),
  line('lease revoke x'),
  line('lease revoke 1234'),
  line('lease revoke $0'),
  line('get l/ --prefix'),
  line('lease revoke $0'),
  line('lease timetolive $0'),
  line('lease revoke $1 -w json'),
  line('lease revoke $2 -w fields'),
  line('lease nonsense', {
    compared: 'refusal',
    kvctlDiffers: {
      from: ['3.4', '3.5'],
      because: 'etcdctl shows the help of lease and ends well',
      kvctl: { code: 1, stderr: /^Error: unknown command "nonsense" for "kvctl lease"\n/ },
    },
  }),
];

const namesItself: Difference = {
  from: ['3.4', '3.5'],
  because: 'each names itself, and 3.4 without quotes',
  kvctl: { code: 3, stderr: /^Error: prefix "p\/" has keys\. Delete with 'kvctl del --prefix p\/' first\n$/ },
};

/** Those that end before they write, given the keys of {@link putCases}; without them they would write for a minute. */
export const checkCases: readonly CtlCase[] = [
  ...['perf', 'datascale'].flatMap((name) => [
    line(`check ${name} --load q`),
    { args: ['check', name, '--load', ''] },
    refused(`check ${name} --no-such-flag`),
    line(`check ${name} --prefix p/ --load small`, { kvctlDiffers: namesItself }),
  ]),
];

export const refusalCases: readonly CtlCase[] = [
  refused('get --no-such-flag k'),
  refused('get --no-such-flag=x k'),
  refused('get -z k'),
  refused('get -xw json k'),
  refused('get k --limit'),
  refused('get k -w'),
  refused('get k --limit x'),
  refused('get k --limit 99999999999999999999'),
  refused('get k --prefix=maybe'),
  refused('get k --command-timeout 5'),
  refused('get k --command-timeout soon'),
  refused('get k --command-timeout 5parsecs'),
  { args: ['get', 'k', '--command-timeout', ''], compared: 'refusal' },
  refused('get k --=x'),
  refused('get k ---x'),
  refused('nonsense'),
  refused('gett k'),
  { args: ['nonsense with spaces'], compared: 'refusal' },
  line('get k -w=json'),
  line('get k -wjson'),
  line('-w json get k'),
  line('get --write-out json k'),
  line('get k --command-timeout 1m30s'),
  line('get k --command-timeout 0'),
  line('get k --dial-timeout 1s --keepalive-time 11s --keepalive-timeout 1s'),
  line('get k', { env: { WRITE_OUT: 'json' } }),
  line('get a', { env: { HEX: 'true' } }),
  line('get k', {
    env: { ENDPOINTS: '127.0.0.1:1' },
    kvctlDiffers: {
      from: ['3.4', '3.5'],
      because: 'etcdctl reports the conflict as a log line',
      kvctl: {
        code: 1,
        stderr:
          /^Error: conflicting environment variable "KVCTL_ENDPOINTS" is shadowed by corresponding command-line flag/,
      },
    },
  }),
  { args: ['get', 'k', '--cacert', ''] },
  { args: ['get', 'k', '--cert', ''] },
  line('get k --cacert /no/such/file'),
  line('get k --command-timeout 300ms', { endpoints: 'dead' }),
  line('put k v --command-timeout 300ms', { endpoints: 'dead' }),
  line('del k --command-timeout 300ms', { endpoints: 'dead' }),
  line('member list --command-timeout 300ms', { endpoints: 'dead' }),
  line('alarm list --command-timeout 300ms', { endpoints: 'dead' }),
  line('endpoint status --command-timeout 300ms', { endpoints: 'dead' }),
  line('endpoint status --command-timeout 300ms -w json', { endpoints: 'dead' }),
  line('endpoint health --command-timeout 300ms', { endpoints: 'dead' }),
  line('endpoint health --command-timeout 300ms --cluster', { endpoints: 'dead' }),
  line('get a', { endpoints: 'both' }),
  line('put k v', { endpoints: 'both' }),
  line('endpoint status --command-timeout 1s', { endpoints: 'both', compared: 'status' }),
  line('endpoint health --command-timeout 1s', {
    endpoints: 'both',
    kvctlDiffers: healthOnStderr({
      code: 1,
      stdout: /is healthy/,
      stderr: /is unhealthy.*\nError: unhealthy cluster\n$/,
    }),
  }),
];

/** Everything but the quota story, which needs a member of its own. */
export const ctlCases: readonly CtlCase[] = [
  ...putCases,
  ...getCases,
  ...delCases,
  ...txnCases,
  ...clusterCases,
  ...alarmCases,
  ...refusalCases,
  ...compactionCases,
];

/** What one run printed. */
export interface CtlResult {
  readonly code: number | null;
  /** Byte strings. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Takes out what differs from run to run: times, and the log lines the Go client writes to standard error. */
export function masked(result: CtlResult): CtlResult {
  return { code: result.code, stdout: maskTimes(result.stdout), stderr: maskTimes(withoutLogLines(result.stderr)) };
}

/** Takes out of a status what depends on when it was asked for: sizes and raft indices, in the json and fields formats. */
export function maskedStatus(stdout: string): string {
  return stdout
    .replace(/("(?:dbSize|dbSizeInUse|raftIndex|raftAppliedIndex)":)\d+/g, '$1<number>')
    .replace(/("(?:DBSize|DBSizeInUse|RaftIndex|RaftAppliedIndex)" : )\d+/g, '$1<number>');
}

/** The same in a cell of the simple and table formats. */
export function maskedStatusCell(cell: string, column: string): string {
  return /size|in use|raft index|raft applied index/i.test(column) ? '<number>' : cell;
}

/** Replaces `text` by `by` padded to the same length, so that tables keep their shape. */
export function replaced(result: CtlResult, text: string, by: string): CtlResult {
  const replace = (output: string): string =>
    output.replaceAll(text, by.padEnd(text.length, '_').slice(0, text.length));
  return { code: result.code, stdout: replace(result.stdout), stderr: replace(result.stderr) };
}

function withoutLogLines(stderr: string): string {
  return stderr.replace(/^(?:\{"level":.*|Warning: endpoint .*)\n/gm, '');
}

/** Durations also set the width of a table's column, so rules and padding around them are levelled too. */
function maskTimes(text: string): string {
  const time = /\b\d+(?:\.\d+)?(?:ns|\xc2\xb5s|ms|s)\b/g;
  if (!/(?:took|TOOK|Took)/.test(text)) return text;
  return text
    .replace(time, '<time>')
    .replace(/ +/g, ' ')
    .replace(/-+/g, '-')
    .replace(/(?:\xe2\x94\x80)+/g, '\xe2\x94\x80');
}
