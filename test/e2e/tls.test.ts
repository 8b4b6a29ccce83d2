/** TLS on the client port: etcdctl, kvctl, python3-etcd3 and probes against kvd as against etcd, with the same certificates and flags. */
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestAuthority } from '../support/certificates.ts';
import { installedEtcds } from '../support/etcd-process.ts';
import { runCommand } from '../support/kvctl.ts';
import { KvdCluster, type KvdProcess, kvctlProgram, waitFor } from '../support/kvd-process.ts';
import { freePorts } from '../support/ports.ts';

const python = '/usr/bin/python3';
const authority = new TestAuthority();
const stranger = new TestAuthority();
const server = authority.issue('server');
const alice = authority.issue('alice');
const mallory = stranger.issue('mallory');
const serverFlags = ['--cert-file', server.cert, '--key-file', server.key];
const mutualFlags = [...serverFlags, '--client-cert-auth', '--trusted-ca-file', authority.cert];
const aliceFlags = ['--cacert', authority.cert, '--cert', alice.cert, '--key', alice.key];

afterAll(() => {
  authority.close();
  stranger.close();
});

/** Answers with the status and the text; rejects when there is no secure connection. */
function httpsGet(url: string, own: { cert: string; key: string } | 'none' = alice): Promise<string> {
  const files = own === 'none' ? {} : { cert: readFileSync(own.cert), key: readFileSync(own.key) };
  return new Promise((resolve, reject) => {
    const request = get(url, { ca: readFileSync(authority.cert), ...files, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(`${response.statusCode} ${Buffer.concat(chunks)}`));
    });
    request.on('error', reject);
    request.setTimeout(10_000, () => request.destroy(new Error('no answer')));
  });
}

/** A member whose client port is secure, with these flags; started, and healthy. */
async function secureMember(flags: readonly string[]) {
  const cluster = await KvdCluster.create(1);
  const member = cluster.members[0]!;
  const url = `https://${member.endpoint}`;
  member.start({ flags: ['--listen-client-urls', url, '--advertise-client-urls', url, ...flags] });
  await waitFor('a secure member', 30_000, async () => {
    if (!member.running) throw new Error(member.log());
    const answer = await httpsGet(`${url}/health`).catch(() => '');
    return answer.startsWith('200') ? true : undefined;
  });
  return { cluster, member, url };
}

describe.each([
  ['directly', 'h2'],
  ['on grpc-js', 'grpc-js'],
])('a member that wants certificates, served %s', (_how, transport) => {
  let cluster: KvdCluster;
  let member: KvdProcess;
  let url: string;
  beforeAll(async () => {
    ({ cluster, member, url } = await secureMember([...mutualFlags, '--rpc-transport', transport]));
  });
  afterAll(() => cluster?.close());

  test.each(installedEtcds())('serves etcdctl $version that shows one, and no other', async ({ etcdctl }) => {
    const run = (...args: string[]) =>
      runCommand(etcdctl, [`--endpoints=${url}`, '--command-timeout=2s', ...args], { env: { ETCDCTL_API: '3' } });
    expect(await run(...aliceFlags, 'put', 'k', 'v')).toMatchObject({ code: 0, stdout: 'OK\n' });
    expect(await run(...aliceFlags, 'get', 'k')).toMatchObject({ code: 0, stdout: 'k\nv\n' });
    const other = ['--cert', mallory.cert, '--key', mallory.key];
    const refused = await Promise.all([
      run('--cacert', authority.cert, 'get', 'k'),
      run('--cacert', authority.cert, ...other, 'get', 'k'),
      run('--cacert', stranger.cert, ...aliceFlags.slice(2), 'get', 'k'),
    ]);
    for (const result of refused) expect(result).toMatchObject({ code: 1, stdout: '' });
  });

  test('serves kvctl, told by flags or by the environment', async () => {
    const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
      runCommand(process.execPath, [kvctlProgram, '--endpoints', url, ...args], { env });
    expect(await run([...aliceFlags, 'put', 'a', 'b'])).toMatchObject({ code: 0, stdout: 'OK\n' });
    const [KVCTL_CACERT, KVCTL_CERT, KVCTL_KEY] = [authority.cert, alice.cert, alice.key];
    expect(await run(['get', 'a'], { KVCTL_CACERT, KVCTL_CERT, KVCTL_KEY })).toMatchObject({ stdout: 'a\nb\n' });
    const skipping = ['--insecure-skip-tls-verify', ...aliceFlags.slice(2)];
    expect(await run([...skipping, 'get', 'a'])).toMatchObject({ code: 0 });
    expect(await run([...aliceFlags.slice(2), '--command-timeout', '2s', 'get', 'a'])).toMatchObject({ code: 1 });
  });

  test('serves python3-etcd3', async ({ skip }) => {
    const { port } = new URL(url);
    const script = [
      'import sys, etcd3',
      'c = etcd3.client(host="127.0.0.1", port=int(sys.argv[1]), ca_cert=sys.argv[2], cert_cert=sys.argv[3], cert_key=sys.argv[4])',
      'c.put("p", "q")',
      'print(c.get("p")[0].decode())',
    ].join('\n');
    const args = ['-c', script, port, authority.cert, alice.cert, alice.key];
    const { code, stdout, stderr } = await runCommand(python, args, { limitMs: 60_000 });
    skip(stderr.includes('No module named') || code === 127, 'python3-etcd3 is not installed');
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: 'q\n' });
  });

  test('answers probes over HTTP/1.1 on the same port, with a certificate only', async () => {
    expect(await httpsGet(`${url}/health`)).toBe('200 {"health":"true","reason":""}');
    expect(await httpsGet(`${url}/metrics`)).toContain('etcd_server_has_leader 1');
    await expect(httpsGet(`${url}/health`, 'none')).rejects.toThrow();
    await expect(httpsGet(`${url}/health`, mallory)).rejects.toThrow();
    await expect(fetch(`http://${member.endpoint}/health`)).rejects.toThrow();
    expect(member.log()).toContain('rejected connection');
  });
});

test('certificates are renewed without a restart, and revoked ones are refused', async () => {
  const renewed = authority.issue('renewed');
  const bob = authority.issue('bob');
  const crl = authority.revoke('crl.pem', []);
  const files = ['--cert-file', renewed.cert, '--key-file', renewed.key, '--trusted-ca-file', authority.cert];
  const { cluster, url } = await secureMember([...files, '--client-crl-file', crl]);
  try {
    expect(await httpsGet(`${url}/health`, bob)).toContain('200');
    authority.issue('renewed', { hosts: ['elsewhere.example'] });
    await expect(httpsGet(`${url}/health`, bob)).rejects.toThrow("IP: 127.0.0.1 is not in the cert's list");
    authority.issue('renewed');
    authority.revoke('crl.pem', [readFileSync(bob.cert)]);
    await expect(httpsGet(`${url}/health`, bob)).rejects.toThrow();
    expect(await httpsGet(`${url}/health`, alice)).toContain('200');
  } finally {
    await cluster.close();
  }
});

test('--auto-tls makes a certificate in the data directory; metrics may have a port of their own', async () => {
  const [port] = await freePorts(1);
  const cluster = await KvdCluster.create(1);
  const member = cluster.members[0]!;
  const url = `https://${member.endpoint}`;
  const metricsUrl = `http://127.0.0.1:${port}`;
  const urls = ['--listen-client-urls', url, '--advertise-client-urls', url, '--listen-metrics-urls', metricsUrl];
  try {
    member.start({ flags: [...urls, '--auto-tls'] });
    await waitFor('health on the port for metrics', 30_000, async () => {
      if (!member.running) throw new Error(member.log());
      const answer = await fetch(`${metricsUrl}/health`).catch(() => undefined);
      return answer?.ok === true ? true : undefined;
    });
    const run = (...args: string[]) =>
      runCommand(process.execPath, [kvctlProgram, '--endpoints', url, ...args, 'put', 'a', 'b'], {});
    expect(await run('--insecure-skip-tls-verify')).toMatchObject({ code: 0, stdout: 'OK\n' });
    expect(await run('--cacert', join(member.options.directory, 'fixtures/client/cert.pem'))).toMatchObject({
      code: 0,
    });
  } finally {
    await cluster.close();
  }
});

const badStarts = [
  {
    what: 'https without certificates',
    flags: [],
    says: 'TLS key/cert (--cert-file, --key-file) must be provided for client url',
  },
  {
    what: "another's key",
    flags: ['--cert-file', server.cert, '--key-file', alice.key],
    says: 'private key does not match public key',
  },
  {
    what: 'a file that is not there',
    flags: ['--cert-file', '/none', '--key-file', server.key],
    says: 'open /none: no such file or directory',
  },
];

test.each(badStarts)('$what ends the start with a word about it, and nothing is written', async ({ flags, says }) => {
  const cluster = await KvdCluster.create(1);
  const member = cluster.members[0]!;
  const url = `https://${member.endpoint}`;
  try {
    member.start({ flags: ['--listen-client-urls', url, '--advertise-client-urls', url, ...flags] });
    expect(await member.exited()).toBe(1);
    expect(member.log()).toContain(says);
  } finally {
    await cluster.close();
  }
});
