/**
 * etcdctl against three members of ours and against three of etcd: every command line of the tables runs against both clusters,
 * which have seen the same lines before, and must print the same bytes and end with the same code. The members take turns, so a
 * line usually sees what another member took in.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ByteResult, neutralEnvironment, runBytes } from '../support/byte-command.ts';
import { type EtcdInstallation, installedEtcds } from '../support/etcd-process.ts';
import { etcdTwin, kvdTwin, leveled, type Twin } from '../support/twins.ts';
import { type CtlCase, ctlCases, quotaCases } from './ctl-cases.ts';
import { afterQuotaCases, refusedEverywhere, serverCases } from './server-cases.ts';

const installations = installedEtcds();
const server = installations.at(-1);

/** Where etcdctl does not get from us what it gets from etcd, and why. */
const knownDifferences: readonly {
  readonly client: RegExp;
  readonly when: (words: string, urls: boolean) => boolean;
  readonly ours: { readonly code: number; readonly stdout: RegExp; readonly stderr: RegExp };
}[] = [
  {
    // etcdctl 3.4 asks one endpoint for its status or hash with the whole URL as the request's authority, which is not one. Node's own
    // HTTP/2 resets such a request before it is seen.
    client: /^3\.4/,
    when: (words, urls) =>
      /^(?:-w \w+ )?endp\w* (?:stat|hash)/.test(words) && (urls || /--cluster(?!=false)/.test(words)),
    ours: { code: 1, stdout: /^[^<]*$/, stderr: /PROTOCOL_ERROR/ },
  },
];

for (const client of installations) {
  describe(`etcdctl ${client.version}, etcd ${server!.version}`, () => {
    compare(client, [...serverCases, ...ctlCases.filter((line) => line.endpoints === undefined)], []);
  });
  describe(`etcdctl ${client.version}, etcd ${server!.version}, when the space runs out`, () => {
    compare(client, [...quotaCases, ...afterQuotaCases], ['--quota-backend-bytes', '200000']);
  });
}

describe.runIf(server !== undefined)('where members of etcd come to differ', () => {
  let twin: Twin;
  beforeAll(async () => {
    twin = await kvdTwin(server!.etcdctl);
  });
  afterAll(() => twin?.close());

  // etcd's members, but for the one that serves the client, drop the reads of a transaction before they check it (etcd issue
  // 18667): they write, the serving one refuses.
  test.each(refusedEverywhere.map((line) => ({ line, name: nameOf(line) })))(
    '$name changes nothing on any of ours',
    async ({ line }) => {
      const hashes: CtlCase = { args: ['endpoint', 'hashkv'] };
      await run(server!, { args: ['put', 'guarded', '1'] }, twin, 0);
      const before = await run(server!, hashes, twin, 0);
      expect(new Set(before.stdout.match(/\d+$/gm))).toHaveProperty('size', 1);
      expect(await run(server!, line, twin, 1)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('Error: etcdserver: mvcc: required'),
      });
      expect(await run(server!, hashes, twin, 0)).toEqual(before);
    },
  );
});

if (server === undefined) test.skip('needs etcd and etcdctl, which are not installed here', () => {});

function compare(client: EtcdInstallation, cases: readonly CtlCase[], flags: readonly string[]): void {
  const twins: Twin[] = [];
  beforeAll(async () => {
    twins.push(await kvdTwin(client.etcdctl, flags));
    twins.push(await etcdTwin(client.etcdctl, server!, flags));
  });
  afterAll(async () => {
    for (const twin of twins) await twin.close();
  });

  // The order matters: each line finds what the ones before it left.
  test.each(cases.map((line, i) => ({ line, i, name: nameOf(line) })))('$i $name', async ({ line, i }) => {
    const [ours, theirs] = await Promise.all(twins.map((twin) => run(client, line, twin, i)));
    const known = knownDifferences.find((one) => one.client.test(client.version) && one.when(wordsOf(line), asUrls(i)));
    if (known !== undefined && ours!.code !== theirs!.code) {
      const { code, stdout, stderr } = known.ours;
      expect(ours).toEqual({ code, stdout: expect.stringMatching(stdout), stderr: expect.stringMatching(stderr) });
      return;
    }
    expect(ours, twins[0]!.log().slice(-2_000)).toEqual(theirs);
  });
}

/** Endpoints may be given with and without a scheme. */
function asUrls(i: number): boolean {
  return i % 5 === 0;
}

async function run(client: EtcdInstallation, line: CtlCase, twin: Twin, i: number): Promise<ByteResult> {
  const { args, stdin = '', env = {} } = line;
  const everybody = args.includes('endpoint') && i % 2 === 0;
  const asked = everybody ? twin.members : [twin.members[i % 3]!];
  const endpoints = asked.map(({ endpoint }) => (asUrls(i) ? `http://${endpoint}` : endpoint)).join(',');
  const own = Object.entries(env).map(([name, value]) => [`ETCDCTL_${name}`, value]);
  const result = await runBytes([client.etcdctl, '--endpoints', endpoints, ...args], {
    stdin,
    env: { ...neutralEnvironment(), ETCDCTL_API: '3', ...Object.fromEntries(own) },
  });
  return leveled(result, twin, args);
}

/** A line as one would type it, with its variables. */
function wordsOf({ args, env }: CtlCase): string {
  const cluster = env?.['CLUSTER'] === 'true' ? ['--cluster'] : [];
  return [...args, ...cluster].join(' ');
}

function nameOf({ args, stdin, env }: CtlCase): string {
  const words = args.map((word) =>
    /^[\x21-\x7e]+$/.test(word) && word.length < 40 ? word : JSON.stringify(word.slice(0, 40)),
  );
  const input = stdin === undefined ? '' : ` < ${JSON.stringify(stdin.slice(0, 60))}`;
  const variables = Object.entries(env ?? {}).map(([name, value]) => `${name}=${value} `);
  return `${variables.join('')}${words.join(' ')}${input}`;
}
