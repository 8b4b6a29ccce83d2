/** How a connection ends by the server's own will: RFC 9113, 6.8. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../testing/served.ts';
import { ErrorCode, Flag, FrameType, readUint31, readUint32 } from './frames.ts';
import { encodeFields } from './hpack-encoder.ts';
import { h2Limits } from './limits.ts';
import { Probe, rangePath } from './testing/probe.ts';
import {
  dataFrame,
  grpcFields,
  grpcMessage,
  headersFrame,
  preface,
  putFrames,
  type RawClient,
  type RawFrame,
  rawFrame,
} from './testing/raw-client.ts';

let probe: Probe;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  probe = await Probe.open({ clock });
});
afterEach(() => probe.close());

const nothing = Buffer.alloc(0);

function startRange(client: RawClient, id: number): void {
  client.send(headersFrame(id, grpcFields(rangePath)), dataFrame(id, grpcMessage(nothing), Flag.endStream));
}

function goAways(client: RawClient): [lastStreamId: number, code: number][] {
  return client.frames
    .filter((frame) => frame.type === FrameType.goAway)
    .map(({ payload }) => [readUint31(payload, 0), readUint32(payload, 4)]);
}

async function answerPing(client: RawClient): Promise<void> {
  const ping = await client.next((frame) => frame.type === FrameType.ping && frame.flags === 0);
  client.send(rawFrame(FrameType.ping, Flag.ack, 0, ping.payload));
}

const isGoAway = ({ type }: RawFrame): boolean => type === FrameType.goAway;

test('streams opened before the client heard of it are served, later ones refused, and the last one ends it', async () => {
  const client = await probe.client();
  startRange(client, 1);
  await client.settle();
  const drained = probe.served.transport.drain(5_000);
  await client.next(isGoAway);
  expect(goAways(client)).toEqual([[0x7fff_ffff, ErrorCode.noError]]);
  await client.put(3);
  await answerPing(client);
  await client.next((frame) => isGoAway(frame) && readUint31(frame.payload, 0) === 3);
  client.send(putFrames(5));
  expect(await client.resetCode(5)).toBe(ErrorCode.refusedStream);
  probe.held[0]?.reply.encoded(nothing);
  expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  expect(await client.goAwayCode()).toBe(ErrorCode.noError);
  expect(await drained).toBe(true);
});

test('what comes for streams that are not served any more still counts for table and window', async () => {
  const client = await probe.client();
  startRange(client, 1);
  await client.settle();
  const drained = probe.served.transport.drain(5_000);
  await answerPing(client);
  await client.next((frame) => isGoAway(frame) && readUint31(frame.payload, 0) === 1);
  const indexed = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from('x-a'), Buffer.from([1]), Buffer.from('b')]);
  client.send(headersFrame(3, Buffer.concat([encodeFields(grpcFields()), indexed])));
  // Index 62 exists only if the block before was decoded; an index that does not would end the connection.
  client.send(headersFrame(5, Buffer.concat([encodeFields(grpcFields()), Buffer.from([0xbe])])));
  const part = dataFrame(3, Buffer.alloc(16_384));
  for (let sent = 0; sent < h2Limits.connectionWindowBytes / 2; sent += 16_384) client.send(part);
  // The first one is part of the greeting.
  const isUpdate = ({ type, streamId }: RawFrame): boolean => type === FrameType.windowUpdate && streamId === 0;
  await client.next(() => client.frames.filter(isUpdate).length === 2);
  probe.held[0]?.reply.encoded(nothing);
  expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  expect(await client.goAwayCode()).toBe(ErrorCode.noError);
  expect(await drained).toBe(true);
});

test('a connection without calls ends once its client answered', async () => {
  const client = await probe.client();
  const drained = probe.served.transport.drain(5_000);
  await answerPing(client);
  await client.closed;
  expect(await drained).toBe(true);
  expect(goAways(client).length).toBe(2);
});

test('a client that does not answer is not waited for', async () => {
  const client = await probe.client();
  const drained = probe.served.transport.drain(5_000);
  await client.next(isGoAway);
  clock.advance(1_000);
  await client.closed;
  expect(await drained).toBe(true);
});

test('a connection that has not begun is closed at once, and a new one not taken', async () => {
  const silent = await probe.connect();
  silent.send(preface.subarray(0, 20));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await probe.served.transport.drain(5_000)).toBe(true);
  await silent.closed;
  const late = await probe.connect();
  late.send(preface);
  await late.closed;
  expect(late.frames).toEqual([]);
});

test('a client that keeps its side open after the end is cut off', async () => {
  const client = await probe.client();
  client.socket.allowHalfOpen = true;
  const drained = probe.served.transport.drain(5_000);
  const ended = new Promise((resolve) => client.socket.once('end', resolve));
  await answerPing(client);
  await ended;
  expect(client.isClosed).toBe(false);
  clock.advance(1_000);
  expect(await drained).toBe(true);
});
