/**
 * Locks and elections told to kvd and to a real etcd: the same answers, but for ids, terms and one difference that is wanted: who
 * lost the lease while it waited is never told that it leads.
 */
import { Client, type ClientReadableStream, credentials, type ServiceError } from '@grpc/grpc-js';
import {
  LeaderRequest,
  LeaderResponse,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LockRequest,
  RangeRequest,
  type RangeResponse,
  services,
} from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const { lock, unlock } = services.lock.methods;
const { campaign, proclaim, leader, resign, observe } = services.election.methods;
const { leaseGrant, leaseRevoke } = services.lease.methods;
const { put, range } = services.kv.methods;
const installation = installedEtcds().at(-1);

const b = (text: string): Buffer => Buffer.from(text, 'latin1');

interface Method<Req, Res> {
  readonly path: string;
  readonly request: { create(init: Partial<Req>): Req; encode(request: Req): Buffer };
  readonly response: { decode(bytes: Buffer): Res };
}

/** One server and what it answered, in order of the calls: the answers of two that are under way at once may come in either. */
class Side {
  readonly raw: RawClient;
  readonly endpoint: string;
  readonly told: unknown[] = [];

  constructor(endpoint: string) {
    this.endpoint = endpoint;
    this.raw = new RawClient(endpoint);
  }

  /** Makes a call and notes its answer, or its refusal. */
  async tell<Req, Res>(method: Method<Req, Res>, init: Partial<Req>, timeoutMs?: number): Promise<Res | undefined> {
    const request = method.request.create(init);
    const at = this.told.push('under way') - 1;
    try {
      const answer = await this.raw.call(method as never, request as never, timeoutMs);
      this.told[at] = [method.path, leveled(answer)];
      return answer as Res;
    } catch (error) {
      const { code, details } = error as ServiceError;
      // At the deadline the client gives up and the server resets the stream: whichever is first decides what the client says.
      const late = timeoutMs !== undefined && (code === 4 || (code === 1 && details === 'Call cancelled'));
      this.told[at] = late ? [method.path, 'late'] : [method.path, code, details];
      return undefined;
    }
  }

  async grant(id: bigint): Promise<void> {
    await this.raw.call(leaseGrant, LeaseGrantRequest.create({ id, ttl: 60 }));
  }

  revoke(id: bigint): Promise<LeaseRevokeResponse> {
    return this.raw.call(leaseRevoke, LeaseRevokeRequest.create({ id }));
  }

  line(name: string): Promise<RangeResponse> {
    return this.raw.call(range, RangeRequest.create({ key: b(`${name}/`), rangeEnd: b(`${name}0`) }));
  }

  /** Resolves when `count` stand in the line. */
  inLine(name: string, count: number): Promise<unknown> {
    return waitFor(`${count} in line for ${name}`, 30_000, async () =>
      (await this.line(name)).count === count ? true : undefined,
    );
  }
}

/** An answer without what differs between clusters. Ids that a server chose are in upper ranges; the tests use small ones. */
function leveled(answer: unknown): unknown {
  const text = JSON.stringify(answer, (key, value: unknown) => {
    if (key === 'clusterId' || key === 'memberId' || key === 'raftTerm') return undefined;
    if (typeof value === 'bigint') return value > 0xffffffffn ? 'chosen' : value.toString(16);
    const bytes = value as { type?: string; data?: number[] } | null;
    if (bytes?.type === 'Buffer')
      return Buffer.from(bytes.data!)
        .toString('latin1')
        .replace(/[0-9a-f]{9,16}/, 'chosen');
    return value;
  });
  return JSON.parse(text);
}

/** The stream of Observe and everything it sent. */
class Observation {
  readonly seen: unknown[] = [];
  readonly #client: Client;
  readonly #stream: ClientReadableStream<LeaderResponse>;

  constructor(endpoint: string, name: string) {
    this.#client = new Client(endpoint, credentials.createInsecure());
    const encode = (request: LeaderRequest): Buffer => LeaderRequest.encode(request);
    const request = LeaderRequest.create({ name: b(name) });
    this.#stream = this.#client.makeServerStreamRequest(observe.path, encode, LeaderResponse.decode, request);
    this.#stream.on('data', (response: LeaderResponse) => this.seen.push(leveled(response)));
    this.#stream.on('error', () => {
      // Cancelled at the end; whoever waits for more says so.
    });
  }

  saw(count: number): Promise<unknown> {
    return waitFor(`${count} proclamations`, 30_000, async () => (this.seen.length >= count ? true : undefined));
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }
}

const stories: Readonly<Record<string, (side: Side) => Promise<void>>> = {
  'a lock is taken, taken again by its owner, and given back': async (side) => {
    await side.grant(0x11n);
    await side.tell(lock, { name: b('a'), lease: 0x11n });
    await side.tell(lock, { name: b('a'), lease: 0x11n });
    await side.tell(range, { key: b('a/'), rangeEnd: b('a0') });
    await side.tell(unlock, { key: b('a/11') });
    await side.tell(unlock, { key: b('a/11') });
    await side.tell(unlock, { key: b('never') });
    await side.tell(unlock, {});
  },
  'without a lease there is one of the server, and without a name there is a line': async (side) => {
    const held = await side.tell(lock, {});
    await side.tell(range, { key: held!.key });
    await side.tell(unlock, { key: held!.key });
  },
  'an unknown lease is refused': async (side) => {
    await side.tell(lock, { name: b('u'), lease: 0x12345n });
    await side.tell(campaign, { name: b('u'), lease: 0x12345n, value: b('v') });
  },
  'who waits gets the lock in the order of arrival': async (side) => {
    for (const id of [0x21n, 0x22n, 0x23n]) await side.grant(id);
    await side.tell(lock, { name: b('order'), lease: 0x22n });
    const second = side.raw.call(lock, LockRequest.create({ name: b('order'), lease: 0x23n }));
    await side.inLine('order', 2);
    const third = side.raw.call(lock, LockRequest.create({ name: b('order'), lease: 0x21n }));
    await side.inLine('order', 3);
    await side.tell(unlock, { key: b('order/22') });
    side.told.push(leveled(await second));
    await side.tell(range, { key: b('order/'), rangeEnd: b('order0') });
    await side.tell(unlock, { key: b('order/23') });
    side.told.push(leveled(await third));
    await side.tell(unlock, { key: b('order/21') });
  },
  'who stops waiting leaves no key': async (side) => {
    for (const id of [0x31n, 0x32n]) await side.grant(id);
    await side.tell(lock, { name: b('left'), lease: 0x31n });
    await side.tell(lock, { name: b('left'), lease: 0x32n }, 300);
    await side.inLine('left', 1);
    await side.tell(campaign, { name: b('left'), lease: 0x32n, value: b('v') }, 300);
    await side.inLine('left', 1);
    await side.tell(range, { key: b('left/'), rangeEnd: b('left0') });
  },
  'a waiter whose lease ended is not given the lock': async (side) => {
    for (const id of [0x41n, 0x42n]) await side.grant(id);
    await side.tell(lock, { name: b('dead'), lease: 0x41n });
    const waiting = side.tell(lock, { name: b('dead'), lease: 0x42n });
    await side.inLine('dead', 2);
    await side.revoke(0x42n);
    await side.tell(unlock, { key: b('dead/41') });
    await waiting;
  },
  'an election has a leader, who proclaims and resigns': async (side) => {
    for (const id of [0x51n, 0x52n]) await side.grant(id);
    await side.tell(leader, { name: b('e') });
    await side.tell(campaign, { name: b('e'), lease: 0x51n, value: b('v') });
    await side.tell(campaign, { name: b('e'), lease: 0x51n, value: b('v') });
    const won = await side.tell(campaign, { name: b('e'), lease: 0x51n, value: b('w') });
    await side.tell(leader, { name: b('e') });
    await side.tell(proclaim, { leader: won!.leader, value: b('x') });
    await side.tell(proclaim, { leader: { ...won!.leader!, rev: 1 }, value: b('y') });
    await side.tell(proclaim, { leader: { ...won!.leader!, lease: 0x12345n }, value: b('y') });
    await side.tell(proclaim, { leader: { ...won!.leader!, key: b(''), rev: 0 }, value: b('y') });
    await side.tell(proclaim, { leader: { ...won!.leader!, lease: 0n }, value: b('z') });
    await side.tell(leader, { name: b('e') });
    await side.tell(proclaim, { value: b('x') });
    await side.tell(resign, {});
    const waiting = side.tell(campaign, { name: b('e'), lease: 0x52n, value: b('other') });
    await side.inLine('e', 2);
    await side.tell(resign, { leader: { ...won!.leader!, rev: 1 } });
    await side.tell(resign, { leader: won!.leader });
    await waiting;
    await side.tell(resign, { leader: won!.leader });
    await side.tell(leader, { name: b('e') });
  },
  'observers see every leader and every proclamation': async (side) => {
    for (const id of [0x61n, 0x62n]) await side.grant(id);
    const early = new Observation(side.endpoint, 'o');
    const won = await side.tell(campaign, { name: b('o'), lease: 0x61n, value: b('1') });
    await early.saw(1);
    await side.tell(proclaim, { leader: won!.leader, value: b('2') });
    await side.tell(put, { key: b('elsewhere'), value: b('x') });
    const late = new Observation(side.endpoint, 'o');
    await late.saw(1);
    const waiting = side.tell(campaign, { name: b('o'), lease: 0x62n, value: b('3') });
    await side.inLine('o', 2);
    await side.tell(resign, { leader: won!.leader });
    await waiting;
    for (const [observation, count] of [
      [early, 3],
      [late, 2],
    ] as const) {
      await observation.saw(count);
      side.told.push(observation.seen);
      observation.close();
    }
  },
};

describe.runIf(installation !== undefined)('locks and elections answer as those of etcd', () => {
  const sides: Side[] = [];
  let cluster: KvdCluster;
  let etcd: EtcdProcess;
  beforeAll(async () => {
    cluster = await KvdCluster.start(1);
    etcd = await EtcdProcess.start({ installation: installation! });
    for (const endpoint of [cluster.endpoints[0]!, etcd.endpoint]) sides.push(new Side(endpoint));
  });
  afterAll(async () => {
    for (const { raw } of sides) raw.close();
    await cluster?.close();
    etcd?.stop();
  });

  test.each(Object.entries(stories))('%s', async (_name, story) => {
    await Promise.all(sides.map((side) => story(side)));
    const [ours, theirs] = sides.map((side) => side.told.splice(0));
    expect(ours!.length).toBeGreaterThan(1);
    expect(ours).toEqual(theirs);
  });
});

describe('beyond etcd', () => {
  test('a campaigner whose lease ended while it waited is not told that it leads', async () => {
    const cluster = await KvdCluster.start(1);
    const side = new Side(cluster.endpoints[0]!);
    for (const id of [0x71n, 0x72n]) await side.grant(id);
    const won = await side.tell(campaign, { name: b('c'), lease: 0x71n, value: b('1') });
    const waiting = side.tell(campaign, { name: b('c'), lease: 0x72n, value: b('2') });
    await side.inLine('c', 2);
    await side.revoke(0x72n);
    await side.tell(resign, { leader: won!.leader });
    await waiting;
    expect(side.told[1]).toEqual([campaign.path, 2, 'mutex: session is expired']);
    side.raw.close();
    await cluster.close();
  });

  test('a lock waited for at one member is given when it is given back at another, and ends with a member that stops', async () => {
    const cluster = await KvdCluster.start(3);
    const [a, z] = [new Side(cluster.endpoints[0]!), new Side(cluster.endpoints[2]!)];
    for (const id of [0x81n, 0x82n]) await a!.grant(id);
    await a!.tell(lock, { name: b('l'), lease: 0x81n });
    const waiting = z!.raw.call(lock, LockRequest.create({ name: b('l'), lease: 0x82n }));
    await a!.inLine('l', 2);
    await a!.tell(unlock, { key: b('l/81') });
    expect((await waiting).key.toString()).toBe('l/82');
    const ended = z!.tell(lock, { name: b('l'), lease: 0x81n });
    await a!.inLine('l', 2);
    await cluster.members[2]!.kill('SIGTERM');
    await ended;
    expect(z!.told).toEqual([[lock.path, 2, 'etcdserver: server stopped']]);
    for (const side of [a!, z!]) side.raw.close();
    await cluster.close();
  });
});
