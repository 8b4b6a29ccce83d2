/** `snapshot save` of plain etcdctl against a member under load: the file is whole by its own checksum, every time. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { installedEtcds } from '../support/etcd-process.ts';
import { runCommand } from '../support/kvctl.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const saves = 5;
const seeded = 300;

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

describe.skipIf(installedEtcds().length === 0)('etcdctl snapshot save', () => {
  test.each(installedEtcds())('of version $version takes whole backups while writes go on', async ({ etcdctl }) => {
    const directory = await mkdtemp(join(tmpdir(), 'kvd-backup-'));
    open.push(() => rm(directory, { recursive: true }));
    const cluster = await KvdCluster.start(1);
    open.push(() => cluster.close());
    const client = new RawClient(cluster.endpoints[0]!);
    open.push(() => client.close());
    for (let i = 0; i < seeded; i++) await client.put(`seed${i}`, Buffer.alloc(1_000, i));

    let writing = true;
    let written = 0;
    const load = (async () => {
      while (writing) await client.put(`load${written++}.`, Buffer.alloc(500, written));
    })();
    for (let i = 0; i < saves; i++) {
      const before = written - 1;
      const path = join(directory, `${i}.db`);
      const args = ['--endpoints', cluster.endpoints[0]!, 'snapshot', 'save', path];
      const { code, stderr } = await runCommand(etcdctl, args, { env: { ETCDCTL_API: '3' } });
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
      const file = await readFile(path);
      expect(file.length % 512).toBe(32);
      expect(file.subarray(-32)).toEqual(createHash('sha256').update(file.subarray(0, -32)).digest());
      // What was answered before the command began is in it.
      for (const key of [`seed${seeded - 1}`, ...(before > 0 ? [`load${before - 1}.`] : [])]) {
        expect(file.includes(key)).toBe(true);
      }
    }
    writing = false;
    await load;
    expect(await readdir(directory)).toHaveLength(saves);
  });
});
