/**
 * Other people's clients, unchanged, against kvd: the npm package etcd3, Debian's python3-etcd3, and gRPC for Java. Each tells one
 * story to a real etcd and to kvd, to one member and to three, over both transports and over TLS; all must hear the same. Java only
 * as often as it teaches something new: every run starts a machine of its own.
 */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { hasJavaGrpc, JavaStory } from '../support/java-story.ts';
import { runCommand } from '../support/kvctl.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { npmEtcd3Story } from '../support/npm-etcd3-story.ts';

const installation = installedEtcds().at(-1);
const python = '/usr/bin/python3';
const pythonStory = join(dirname(dirname(fileURLToPath(import.meta.url))), 'support', 'python_etcd3_story.py');

function hasPythonEtcd3(): boolean {
  try {
    execFileSync(python, ['-c', 'import etcd3'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function pythonEtcd3Story(endpoints: readonly string[]): Promise<unknown[]> {
  const { code, stdout, stderr } = await runCommand(python, [pythonStory, endpoints.at(-1)!], { limitMs: 60_000 });
  // The library's threads complain when it is closed; the exit code tells.
  expect(code, stderr).toBe(0);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

let java: JavaStory | undefined;
afterAll(() => java?.close());

async function javaStory(endpoints: readonly string[]): Promise<unknown[]> {
  java ??= await JavaStory.compile();
  return java.tell(endpoints.at(-1)!);
}

const clusters = [
  { name: 'one member', size: 1, flags: [] },
  { name: 'three members', size: 3, flags: [] },
  { name: 'one member on grpc-js', size: 1, flags: ['--rpc-transport', 'grpc-js'] },
];
const clients = [
  { name: 'npm etcd3', story: npmEtcd3Story, runs: true, steps: 20, clusters },
  { name: 'python3-etcd3', story: pythonEtcd3Story, runs: hasPythonEtcd3(), steps: 20, clusters },
  { name: 'gRPC for Java', story: javaStory, runs: hasJavaGrpc(), steps: 24, clusters: clusters.slice(0, 1) },
];

describe.skipIf(installation === undefined).each(clients)('$name', ({ story, runs, steps, clusters }) => {
  let etcd: EtcdProcess;
  let expected: unknown[];
  beforeAll(async () => {
    if (!runs) return;
    etcd = await EtcdProcess.start({ installation: installation! });
    expected = await story([etcd.endpoint]);
    expect(expected.length).toBeGreaterThanOrEqual(steps);
  });
  afterAll(() => etcd?.stop());

  test.skipIf(!runs).each(clusters)('hears from $name what etcd says', async ({ size, flags }) => {
    const cluster = await KvdCluster.start(size, flags);
    try {
      expect(await story(cluster.endpoints)).toEqual(expected);
    } finally {
      await cluster.close();
    }
  });
});
