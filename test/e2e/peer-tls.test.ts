/** TLS between members: three of them with certificates of one authority, and with certificates they make themselves. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { afterAll, expect, test } from 'vitest';
import { TestAuthority } from '../support/certificates.ts';
import { runKvctl } from '../support/kvctl.ts';
import { KvdCluster } from '../support/kvd-process.ts';

const authority = new TestAuthority();
afterAll(() => authority.close());

/** Three members whose peer URLs are https. */
async function secureCluster(flagsOf: (name: string) => readonly string[]): Promise<KvdCluster> {
  const cluster = await KvdCluster.create(3);
  const urlOf = (port: number): string => `https://127.0.0.1:${port}`;
  const initial = cluster.members.map(({ options }) => `${options.name}=${urlOf(options.peerPort)}`).join(',');
  for (const member of cluster.members) {
    const url = urlOf(member.options.peerPort);
    const urls = ['--listen-peer-urls', url, '--initial-advertise-peer-urls', url, '--initial-cluster', initial];
    member.start({ flags: [...urls, ...flagsOf(member.options.name)] });
  }
  await cluster.healthy(60_000);
  return cluster;
}

/** Resolves with what ended a connection that shows no certificate. */
function dialWithout(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, ca: readFileSync(authority.cert), ALPNProtocols: ['h2'] });
    socket.on('error', (error) => resolve(error.message));
    socket.on('close', () => resolve('closed'));
  });
}

test('three members with certificates replicate and let nobody else in', async () => {
  const cluster = await secureCluster((name) => {
    const { cert, key } = authority.issue(name);
    const auth = [
      '--peer-client-cert-auth',
      '--peer-trusted-ca-file',
      authority.cert,
      '--peer-cert-allowed-cn',
      'm1,m2,m3',
    ];
    return ['--peer-cert-file', cert, '--peer-key-file', key, ...auth];
  });
  try {
    const [first, second, third] = cluster.members.map(({ endpoint }) => endpoint) as [string, string, string];
    expect(await runKvctl(['--endpoints', first, 'put', 'k', 'v'])).toMatchObject({ code: 0 });
    for (const endpoint of [second, third]) {
      expect(await runKvctl(['--endpoints', endpoint, 'get', 'k'])).toMatchObject({ code: 0, stdout: 'k\nv\n' });
    }
    expect(await dialWithout(cluster.members[0]!.options.peerPort)).toMatch(/certificate required|closed|ECONNRESET/);
  } finally {
    await cluster.close();
  }
});

test('three members with --peer-auto-tls replicate', async () => {
  const cluster = await secureCluster(() => ['--peer-auto-tls']);
  try {
    const [first, , third] = cluster.members.map(({ endpoint }) => endpoint) as [string, string, string];
    expect(await runKvctl(['--endpoints', first, 'put', 'k', 'v'])).toMatchObject({ code: 0 });
    expect(await runKvctl(['--endpoints', third, 'get', 'k'])).toMatchObject({ code: 0, stdout: 'k\nv\n' });
  } finally {
    await cluster.close();
  }
});
