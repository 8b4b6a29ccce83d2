/** What a program on the npm package etcd3 does with a cluster, told step by step; without ids, revisions from the first on. */
import { once } from 'node:events';
import { Etcd3, type IKeyValue } from 'etcd3';

type Tell = (step: string, ...facts: unknown[]) => void;

interface Scene {
  readonly client: Etcd3;
  readonly tell: Tell;
  /** A revision as the distance from the story's first. */
  readonly ago: (revision: string | number) => number;
}

/** Tells the story to the cluster behind `hosts` and returns what was answered. */
export async function npmEtcd3Story(hosts: readonly string[]): Promise<unknown[]> {
  const told: unknown[] = [];
  const client = new Etcd3({ hosts: hosts.map((host) => `http://${host}`) });
  try {
    const base = Number((await client.put('base').value('0')).header.revision);
    const scene: Scene = {
      client,
      tell: (...facts) => told.push(facts),
      ago: (revision) => Number(revision) - base,
    };
    for (const act of [keys, transactions, leases, watches, locks, elections, namespaces]) await act(scene);
  } finally {
    client.close();
  }
  return told;
}

function plain({ ago }: Scene, { key, value, mod_revision: modified, version }: IKeyValue): unknown[] {
  return [key.toString('latin1'), value.toString('latin1'), ago(modified), Number(version)];
}

async function keys(scene: Scene): Promise<void> {
  const { client, tell } = scene;
  tell('absent', await client.get('nothing').string());
  await client.put('k/a').value('1');
  await client.put('k/b').value(Buffer.from([0, 0xff]));
  await client.put('k/c').value('3');
  tell('get', await client.get('k/a').string(), (await client.get('k/b').buffer())?.toString('latin1'));
  tell('previous', (await client.put('k/a').value('1.1').getPrevious()).value.toString());
  tell('prefix', await client.getAll().prefix('k/').strings());
  const sorted = await client.getAll().prefix('k/').sort('Mod', 'Descend').limit(2).exec();
  tell(
    'sorted',
    sorted.kvs.map((kv) => plain(scene, kv)),
    sorted.more,
    sorted.count,
  );
  tell('range', await client.getAll().inRange({ start: 'k/b', end: 'k/c' }).keys());
  tell('count', await client.getAll().prefix('k/').count());
  const before = (await client.put('k/a').value('1.2')).header.revision;
  tell(
    'past',
    await client
      .get('k/a')
      .revision(Number(before) - 1)
      .string(),
  );
  tell(
    'deleted',
    (await client.delete().key('k/a')).deleted,
    (await client.delete().prefix('k/').getPrevious()).length,
  );
}

async function transactions(scene: Scene): Promise<void> {
  const { client, tell } = scene;
  await client.put('t').value('1');
  for (const expected of ['1', '1']) {
    const { succeeded, responses } = await client
      .if('t', 'Value', '==', expected)
      .and('t', 'Version', '>', 0)
      .then(client.put('t').value('2'), client.get('t'))
      .else(client.delete().key('t'))
      .commit();
    tell(
      'txn',
      succeeded,
      responses.map(({ response_range: range }) => range?.kvs.map((kv) => plain(scene, kv))),
    );
  }
  await client.put('stm').value('1');
  const raise = async (): Promise<void> => {
    await client.stm({ retries: 100 }).transact(async (tx) => {
      const value = Number(await tx.get('stm').string());
      await tx.put('stm').value(value + 1);
    });
  };
  await Promise.all([raise(), raise(), raise(), raise()]);
  tell('stm', await client.get('stm').string());
}

async function leases({ client, tell }: Scene): Promise<void> {
  const lease = client.lease(60);
  await lease.put('l').value('1');
  await lease.keepaliveOnce();
  tell('lease', await client.get('l').string());
  await lease.revoke();
  tell('revoked', await client.get('l').string());
}

async function watches(scene: Scene): Promise<void> {
  const { client, tell } = scene;
  const first = (await client.put('w/1').value('1')).header.revision;
  await client.delete().key('w/1');
  const watcher = await client.watch().prefix('w/').startRevision(first).withPreviousKV().create();
  const seen: unknown[] = [];
  const all = new Promise<void>((resolve) => {
    const note = (type: string, kv: IKeyValue, previous?: IKeyValue): void => {
      seen.push([type, ...plain(scene, kv), previous?.value.toString()]);
      if (seen.length === 4) resolve();
    };
    watcher.on('put', (kv, previous) => note('put', kv, previous));
    watcher.on('delete', (kv, previous) => note('delete', kv, previous));
  });
  await client.put('w/2').value('2');
  await client.put('w/2').value('3');
  await all;
  await watcher.cancel();
  tell('watch', seen);
  const puts = await client.watch().key('w/3').only('put').create();
  const put = once(puts, 'put');
  await client.put('w/3').value('x');
  tell('only puts', plain(scene, ((await put) as [IKeyValue])[0]));
  await puts.cancel();
}

async function locks({ client, tell }: Scene): Promise<void> {
  const order: string[] = [];
  await client.lock('lock').do(async () => {
    order.push('held');
    await client
      .lock('lock')
      .acquire()
      .catch((error: Error) => order.push(error.constructor.name));
  });
  await client.lock('lock').do(() => order.push('held again'));
  tell('lock', order);
}

async function elections({ client, tell }: Scene): Promise<void> {
  const election = client.election('boss', 10);
  tell('no leader', await election.leader());
  const one = election.campaign('one');
  await one.wait();
  const observer = await election.observe();
  tell('leader', await election.leader(), observer.leader());
  const proclaimed = once(observer, 'change');
  await one.proclaim('one, again');
  tell('proclaimed', ((await proclaimed) as [string])[0]);
  const changed = once(observer, 'change');
  const two = election.campaign('two');
  await two.getCampaignKey();
  await one.resign();
  await two.wait();
  await changed;
  tell('next', await election.leader());
  await observer.cancel();
  await two.resign();
}

async function namespaces({ client, tell }: Scene): Promise<void> {
  const space = client.namespace('space/');
  const first = (await space.put('a').value('1')).header.revision;
  // Without a revision a watch begins where the member that serves it stands, which may not have seen the put yet.
  const watcher = await space
    .watch()
    .prefix('')
    .startRevision(String(Number(first) + 1))
    .create();
  const put = once(watcher, 'put');
  await space.put('b').value('2');
  tell(
    'namespace',
    await client.get('space/a').string(),
    await space.getAll().strings(),
    ((await put) as [IKeyValue])[0].key.toString(),
  );
  await watcher.cancel();
  tell('emptied', (await space.delete().all()).deleted, await client.getAll().prefix('space/').count());
}
