import { type AddressInfo, createServer } from 'node:net';
import { type Clock, formatId, type MemberId, silentLogger } from '@quorate/base';
import {
  HashAnswer,
  LeaseAnswer,
  Message,
  MessageType,
  PeerMember,
  PromoteAnswer,
  SnapshotMetadata,
} from '@quorate/proto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { PeerHandler, StateStream } from '../peer-transport.ts';
import { Refusal, type Speaker } from '../standing.ts';
import { StartError } from '../start-error.ts';
import { CountingMeter } from '../testing/counting-meter.ts';
import { GrpcPeerTransport } from './grpc-peer-transport.ts';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (run) => void setImmediate(run),
};

vi.setConfig({ testTimeout: 30_000 });

const open: GrpcPeerTransport[] = [];
afterEach(async () => {
  for (const transport of open.splice(0)) await transport.stop();
});

async function freeUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** Resolves when `check` passes: connections take their time on a busy machine. */
function soon(check: () => void): Promise<void> {
  return vi.waitFor(check, 30_000);
}

/** One member's end, and what it was told. */
async function member(id: MemberId, options: { incarnation?: bigint; clusterId?: bigint } = {}) {
  const url = await freeUrl();
  const meter = new CountingMeter();
  const transport = new GrpcPeerTransport({
    listenUrls: [url],
    clock,
    logger: silentLogger,
    meter,
    version: 't',
  });
  open.push(transport);
  const received: string[] = [];
  const refusedBy: string[] = [];
  const refusals = new Map<MemberId, Refusal>();
  const expected = new Map<MemberId, bigint>();
  const handler: PeerHandler = {
    receive: (messages) => {
      for (const { from, index } of messages) received.push(`${index} from ${from}`);
    },
    receiveSnapshot: () => Promise.resolve(),
    unreachable: () => {},
    gone: () => {},
    lease: () => Promise.resolve(LeaseAnswer.create({ notLeader: true })),
    info: () => ({
      members: [PeerMember.create({ id, peerUrls: [url], incarnation: 3n })],
      leader: 9n,
      appliedIndex: 4,
    }),
    state: () => stateOf(id),
    hash: ({ revision, ofCompaction }) =>
      Promise.resolve(
        HashAnswer.create({ revision: 70, hash: 0xfedcba98, hashRevision: revision, error: String(ofCompaction) }),
      ),
    promote: (learner) => Promise.resolve(PromoteAnswer.create({ error: `not ${learner}` })),
    peerUrls: () => [url],
    refusalOf: ({ from, incarnation }: Speaker) => {
      const known = expected.get(from);
      return known !== undefined && known !== incarnation ? Refusal.otherIncarnation : refusals.get(from);
    },
    refusedBy: (peer, refusal) => void refusedBy.push(`${refusal} by ${peer}`),
  };
  const identity = { clusterId: options.clusterId ?? 7n, memberId: id, incarnation: options.incarnation ?? id * 10n };
  const send = (to: MemberId, index: number): void =>
    transport.send([Message.create({ type: MessageType.MSG_APP, from: id, to, term: 1, index })]);
  return { id, url, meter, transport, received, refusedBy, refusals, expected, handler, identity, send };
}

/** A state of three chunks that stands at index 40; that of member 5 breaks in the middle. */
async function stateOf(id: MemberId): Promise<StateStream> {
  const metadata = SnapshotMetadata.create({ index: 40, term: 2 });
  async function* chunks(): AsyncGenerator<Buffer> {
    yield Buffer.from('one ');
    if (id === 5n) throw new Error('the view is gone');
    yield Buffer.alloc(1024 * 1024, 'x');
    yield Buffer.from(' three');
  }
  return { message: Message.create({ snapshot: { data: Buffer.alloc(0), metadata } }), chunks: chunks() };
}

async function started(...args: Parameters<typeof member>) {
  const one = await member(...args);
  await one.transport.start(one.identity, one.handler);
  return one;
}

test('what is sent while the peer has not answered the hello yet arrives, once and in order', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
  a.send(2n, 1);
  a.send(2n, 2);
  await soon(() => expect(b.received).toEqual(['1 from 1', '2 from 1']));
  expect(a.transport.connectedSinceMs(2n)).toBeDefined();
});

test('a member that knows nobody answers whoever speaks to it, at the address in the hello', async () => {
  const [a, joining] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [joining.url] }]);
  await soon(() => expect(joining.transport.connectedSinceMs(1n)).toBeDefined());
  joining.send(1n, 5);
  await soon(() => expect(a.received).toEqual(['5 from 2']));
  // And goes on to, while its own list still does not have it.
  joining.transport.setPeers([]);
  joining.send(1n, 6);
  await soon(() => expect(a.received).toEqual(['5 from 2', '6 from 2']));
});

test('the next URL of a member is tried when nobody listens at the first; another list moves the link', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [await freeUrl(), b.url] }]);
  await soon(() => expect(a.transport.connectedSinceMs(2n)).toBeDefined());
  a.transport.setPeers([{ id: 2n, urls: [await freeUrl()] }]);
  expect(a.transport.connectedSinceMs(2n)).toBeUndefined();
});

test('a member that moved while we were away is reached where it says that it is', async () => {
  const [away, moved] = [await started(1n), await started(2n)];
  away.transport.setPeers([{ id: 2n, urls: [await freeUrl()] }]);
  moved.transport.setPeers([{ id: 1n, urls: [away.url] }]);
  await soon(() => expect(away.transport.connectedSinceMs(2n)).toBeDefined());
  away.send(2n, 3);
  await soon(() => expect(moved.received).toEqual(['3 from 1']));
});

test('B68: streams of a member end when it is removed, and it is told', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
  b.transport.setPeers([{ id: 1n, urls: [a.url] }]);
  await soon(() => expect(b.transport.connectedSinceMs(1n)).toBeDefined());
  a.refusals.set(2n, Refusal.removed);
  a.transport.setPeers([]);
  await soon(() => expect(b.refusedBy).toContain('removed by 1'));
  b.send(1n, 9);
  await expect(b.transport.askPromote(1n, 5n, 1_000)).rejects.toThrow('permanently removed');
  expect(a.received).toEqual([]);
  expect(a.transport.connectedSinceMs(2n)).toBeUndefined();
});

test('B67: a member on another data directory is told nothing of raft’s, and why', async () => {
  const [a, wiped] = [await started(1n), await started(2n, { incarnation: 99n })];
  a.expected.set(2n, 20n);
  a.transport.setPeers([{ id: 2n, urls: [wiped.url] }]);
  a.send(2n, 1);
  // It hears of the cluster by that very stream, speaks up, and is refused.
  await soon(() => expect(wiped.refusedBy).toContain('otherIncarnation by 1'));
  const snapshot = Message.create({ type: MessageType.MSG_SNAP, from: 1n, to: 2n, term: 1 });
  const nothing = async function* (): AsyncGenerator<Buffer> {};
  await expect(a.transport.sendSnapshot(snapshot, nothing())).rejects.toThrow('not connected to 2');
  expect(wiped.received).toEqual([]);
  expect(a.transport.connectedSinceMs(2n)).toBeUndefined();
});

test('B67: a member that was taken in before its data directory was known to be another loses its streams, and is told why', async () => {
  const [a, wiped] = [await started(1n), await started(2n, { incarnation: 99n })];
  a.transport.setPeers([{ id: 2n, urls: [wiped.url] }]);
  wiped.transport.setPeers([{ id: 1n, urls: [a.url] }]);
  await soon(() => expect(a.transport.connectedSinceMs(2n)).toBeDefined());
  await soon(() => expect(wiped.transport.connectedSinceMs(1n)).toBeDefined());
  a.expected.set(2n, 20n);
  a.transport.setPeers([{ id: 2n, urls: [wiped.url] }]);
  expect(a.transport.connectedSinceMs(2n)).toBeUndefined();
  a.send(2n, 1);
  wiped.send(1n, 2);
  await soon(() => expect(wiped.refusedBy).toContain('otherIncarnation by 1'));
  expect([...wiped.received, ...a.received]).toEqual([]);
});

test('B65: streams of another cluster, or for another member, lead nowhere', async () => {
  const [a, stranger, b] = [await started(1n), await started(2n, { clusterId: 8n }), await started(3n)];
  a.transport.setPeers([
    { id: 2n, urls: [stranger.url] },
    { id: 4n, urls: [b.url] },
  ]);
  a.send(2n, 1);
  a.send(4n, 2);
  await expect(a.transport.askPromote(2n, 5n, 1_000)).rejects.toThrow('cluster ID mismatch');
  await expect(a.transport.askPromote(4n, 5n, 1_000)).rejects.toThrow('not the member this stream is for');
  expect([...stranger.received, ...b.received]).toEqual([]);
});

test('a member says what it knows to one without an identity, once it runs itself', async () => {
  const [asking, b] = [await member(1n), await member(2n)];
  await b.transport.listen();
  await expect(asking.transport.fetchInfo(b.url, 1_000)).rejects.toThrow('the member is starting');
  await expect(asking.transport.fetchInfo(asking.url, 1_000)).rejects.toThrow('ECONNREFUSED');
  await b.transport.start(b.identity, b.handler);
  expect(await asking.transport.fetchInfo(b.url, 1_000)).toEqual({
    clusterId: 7n,
    memberId: 2n,
    leader: 9n,
    appliedIndex: 4,
    members: [PeerMember.create({ id: 2n, peerUrls: [b.url], incarnation: 3n })],
  });
});

test('questions reach the member asked, or fail', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
  expect(await a.transport.askPromote(2n, 5n, 1_000)).toMatchObject({ error: 'not 5' });
  expect(await a.transport.askLease(2n, { id: 1n, renew: false, keys: false }, 1_000)).toMatchObject({
    notLeader: true,
  });
  await expect(a.transport.askPromote(3n, 5n, 1_000)).rejects.toThrow('no connection to 3');
});

test('a peer URL in use is refused by name', async () => {
  const a = await started(1n);
  const second = new GrpcPeerTransport({
    listenUrls: [a.url],
    clock,
    logger: silentLogger,
    meter: new CountingMeter(),
    version: 't',
  });
  open.push(second);
  await expect(second.listen()).rejects.toThrow(StartError);
});

test('what passes between members is counted by peer on both sides, and so are lost connections', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  const pair = `{Local=${formatId(1n)},Remote=${formatId(2n)}}`;
  a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
  a.send(2n, 1);
  await soon(() => expect(b.received).toEqual(['1 from 1']));
  const sent = a.meter.value(`etcd_network_peer_sent_bytes_total{To=${formatId(2n)}}`)!;
  expect(sent).toBeGreaterThan(0);
  expect(b.meter.value(`etcd_network_peer_received_bytes_total{From=${formatId(1n)}}`)).toBeGreaterThanOrEqual(sent);
  expect(a.meter.value(`etcd_network_known_peers${pair}`)).toBe(1);
  expect(a.meter.value(`etcd_network_known_peers{Local=${formatId(1n)},Remote=${formatId(1n)}}`)).toBe(1);
  expect(a.meter.value(`etcd_network_active_peers${pair}`)).toBe(1);
  expect(a.meter.value(`etcd_network_disconnected_peers_total${pair}`)).toBe(0);
  await b.transport.stop();
  await soon(() => expect(a.meter.value(`etcd_network_active_peers${pair}`)).toBe(0));
  expect(a.meter.value(`etcd_network_disconnected_peers_total${pair}`)).toBe(1);
  a.send(2n, 2);
  await soon(() => expect(a.meter.value(`etcd_network_peer_sent_failures_total{To=${formatId(2n)}}`)).toBe(1));
  a.transport.setPeers([]);
  expect(a.meter.value(`etcd_network_known_peers${pair}`)).toBe(0);
});

test('a message that is not for this member is a receive failure of its sender', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
  a.transport.send([Message.create({ type: MessageType.MSG_APP, from: 5n, to: 2n, term: 1, index: 1 })]);
  const failures = `etcd_network_peer_received_failures_total{From=${formatId(1n)}}`;
  await soon(() => expect(b.meter.value(failures)).toBe(1));
  expect(b.received).toEqual([]);
});

describe('a whole state', () => {
  const own = { clusterId: 7n, memberId: 1n, incarnation: 10n };

  async function read(chunks: AsyncIterable<Buffer>): Promise<number> {
    let bytes = 0;
    for await (const chunk of chunks) bytes += chunk.length;
    return bytes;
  }

  test('comes to a member that does not run, with where it stands', async () => {
    const [asking, b] = [await member(1n), await started(2n)];
    const { message, chunks } = await asking.transport.fetchState(b.url, { own, peer: 2n });
    expect(message.snapshot?.metadata?.index).toBe(40);
    expect(await read(chunks)).toBe(1024 * 1024 + 10);
  });

  test('that breaks on the way is not taken for whole', async () => {
    const [asking, b] = [await member(1n), await started(5n)];
    const { chunks } = await asking.transport.fetchState(b.url, { own, peer: 5n });
    await expect(read(chunks)).rejects.toThrow('the view is gone');
  });

  test('is for members of this cluster alone, and not for one that was removed', async () => {
    const [asking, b] = [await member(1n), await started(2n)];
    const stranger = { ...own, clusterId: 8n };
    await expect(asking.transport.fetchState(b.url, { own: stranger, peer: 2n })).rejects.toThrow(
      'cluster ID mismatch',
    );
    b.refusals.set(1n, Refusal.removed);
    await expect(asking.transport.fetchState(b.url, { own, peer: 2n })).rejects.toThrow('permanently removed');
  });
});

test('a hash of the history is asked for over the link', async () => {
  const [a, b] = [await started(1n), await started(2n)];
  a.transport.setPeers([{ id: 2n, urls: [b.url] }]);
  await soon(() => expect(a.transport.connectedSinceMs(2n)).toBeDefined());
  const answer = await a.transport.askHash(2n, { revision: 33, ofCompaction: true }, 10_000);
  expect(answer).toMatchObject({ revision: 70, hash: 0xfedcba98, hashRevision: 33, error: 'true' });
  await expect(a.transport.askHash(9n, { revision: 33, ofCompaction: true }, 1_000)).rejects.toThrow('no connection');
});
