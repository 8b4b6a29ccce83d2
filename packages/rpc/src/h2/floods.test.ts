/** Attacks that are known by name, and clients that merely do not read. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../testing/served.ts';
import { ErrorCode, Flag, FrameType, Setting } from './frames.ts';
import { encodeFields, type FieldText } from './hpack-encoder.ts';
import { h2Limits, idleFlood, resetFlood, settingsFlood } from './limits.ts';
import { expectConnectionError, Probe, rangePath } from './testing/probe.ts';
import {
  dataFrame,
  grpcFields,
  grpcMessage,
  headersFrame,
  pingFrame,
  preface,
  putFrames,
  putPath,
  type RawClient,
  rawFrame,
  rstFrame,
  settingsFrame,
  windowUpdateFrame,
} from './testing/raw-client.ts';

let probe: Probe;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  probe = await Probe.open({ clock });
});
afterEach(() => probe.close());

const nothing = Buffer.alloc(0);

function repeat(frame: Buffer, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => frame));
}

async function lastWords(client: RawClient): Promise<string> {
  await client.closed;
  return client.frames.at(-1)?.payload.subarray(8).toString() ?? '';
}

describe('floods end the connection with ENHANCE_YOUR_CALM', () => {
  test('rapid reset (CVE-2023-44487): streams opened and reset, over and over', async () => {
    const client = await probe.client();
    const parts: Buffer[] = [];
    for (let i = 0; i <= resetFlood.burst; i++) parts.push(headersFrame(2 * i + 1, grpcFields()), rstFrame(2 * i + 1));
    client.send(...parts);
    expect(await lastWords(client)).toBe('too_many_resets');
    await expectConnectionError(probe, client, ErrorCode.enhanceYourCalm);
  });

  test('made to reset: streams the client makes the server reset count as well', async () => {
    const client = await probe.client();
    const parts: Buffer[] = [];
    for (let i = 0; i <= resetFlood.burst; i++) {
      parts.push(headersFrame(2 * i + 1, grpcFields()), windowUpdateFrame(2 * i + 1, 0));
    }
    client.send(...parts);
    expect(await lastWords(client)).toBe('too_many_resets');
  });

  test('resets are forgiven with time', async () => {
    const client = await probe.client();
    let id = 1;
    for (let round = 0; round < 3; round++) {
      const parts: Buffer[] = [];
      for (let i = 0; i < resetFlood.burst; i++, id += 2) parts.push(headersFrame(id, grpcFields()), rstFrame(id));
      client.send(...parts);
      await client.settle();
      clock.advance((resetFlood.burst / resetFlood.perSecond) * 1_000);
    }
    await client.put(id);
  });

  test('SETTINGS (CVE-2019-9515)', async () => {
    const client = await probe.client();
    client.send(repeat(settingsFrame(), settingsFlood.burst));
    await expectConnectionError(probe, client, ErrorCode.enhanceYourCalm);
  });

  test('PING (CVE-2019-9512)', async () => {
    const client = await probe.client();
    client.send(repeat(pingFrame(), 1_000));
    expect(await lastWords(client)).toBe('too_many_pings');
    await expectConnectionError(probe, client, ErrorCode.enhanceYourCalm);
    expect(client.frames.filter((frame) => frame.type === FrameType.ping).length).toBeLessThan(10);
  });

  test.each<[string, Buffer]>([
    ['empty DATA (CVE-2019-9518)', dataFrame(1, nothing)],
    ['DATA of padding', rawFrame(FrameType.data, Flag.padded, 1, Buffer.from([3, 0, 0, 0]))],
    ['WINDOW_UPDATE', windowUpdateFrame(1, 1)],
    ['WINDOW_UPDATE of the connection', windowUpdateFrame(0, 1)],
    ['PRIORITY (CVE-2019-9513)', rawFrame(FrameType.priority, 0, 1, Buffer.alloc(5))],
    ['unknown frames', rawFrame(0x42, 0, 1, nothing)],
    ['GOAWAY', rawFrame(FrameType.goAway, 0, 0, Buffer.alloc(8))],
    ['acknowledgements nobody asked for', rawFrame(FrameType.settings, Flag.ack, 0, nothing)],
    ['answers to pings nobody sent', pingFrame('whatever', Flag.ack)],
  ])('%s', async (_name, frame) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields()), repeat(frame, idleFlood.burst + 100));
    expect(await lastWords(client)).toBe('too_many_idle_frames');
    await expectConnectionError(probe, client, ErrorCode.enhanceYourCalm);
  });

  test('data dribble (CVE-2019-9511): an answer fetched byte by byte', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    await client.settle();
    probe.held[0]?.reply.encoded(Buffer.alloc(100_000));
    client.send(repeat(windowUpdateFrame(1, 1), idleFlood.burst + 100));
    expect(await lastWords(client)).toBe('too_many_idle_frames');
  });

  test('work pays for window updates', async () => {
    const client = await probe.client();
    for (let i = 0; i < 3 * idleFlood.burst; i += 1_000) {
      client.send(repeat(windowUpdateFrame(0, 1), 1_000));
      for (let j = 0; j < 100; j++) client.send(putFrames(2 * (i / 10 + j) + 1));
    }
    await client.put(100_001);
  });

  test.each<[string, Buffer]>([
    ['empty CONTINUATION', nothing],
    ['CONTINUATION with content (CVE-2024-27316)', encodeFields([['x-a', 'b'.repeat(10_000)]])],
  ])('%s without end', async (_name, part) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(), 0));
    client.send(repeat(rawFrame(FrameType.continuation, 0, 1, part), h2Limits.continuationsMax + 1));
    await expectConnectionError(probe, client, ErrorCode.enhanceYourCalm);
  });
});

test('a small block that decodes to a huge list is cut off without being built (HPACK bomb)', async () => {
  const client = await probe.client();
  const field = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0x81, 0x1e]), Buffer.alloc(4_000 - 32, 'x')]);
  expect(field.readUInt8(3) + field.readUInt8(4) - 0x80 + field.readUInt8(5) * 128).toBe(3_968);
  client.send(headersFrame(1, Buffer.concat([encodeFields(grpcFields()), field]), Flag.endHeaders | Flag.endStream));
  // Four thousand bytes each.
  client.send(headersFrame(3, Buffer.alloc(16_000, 0xbe), Flag.endHeaders | Flag.endStream));
  expect(await client.trailers(3)).toEqual({ ':status': '431' });
  await client.put(5);
});

describe('clients that do not read', () => {
  /** Opens a connection whose answers stay in the server. */
  async function deafClient(): Promise<RawClient> {
    const client = await probe.client([[Setting.initialWindowSize, 2 ** 31 - 1]]);
    client.send(windowUpdateFrame(0, 2 ** 31 - 1 - 65_535));
    client.socket.pause();
    return client;
  }

  test('make the server stop reading from them, and are served when they read again', async () => {
    const client = await deafClient();
    const value: FieldText[] = grpcFields(`/${'z'.repeat(4_000)}/m`);
    // Refused by name, so each costs four kilobytes of answer; none of it is subject to flow control.
    const requests = Array.from({ length: 10_000 }, (_, i) =>
      headersFrame(2 * i + 1, value, Flag.endHeaders | Flag.endStream),
    );
    let taken = 0;
    const all = requests.length;
    for (const request of requests) client.socket.write(request, () => taken++);
    await stable(() => taken);
    expect(taken).toBeLessThan(all);
    client.socket.resume();
    await client.trailers(2 * all - 1);
    await client.put(2 * all + 1);
  }, 20_000);

  test('have new calls refused while many answers wait for them', async () => {
    await probe.close();
    probe = await Probe.open({ clock }, { queuedBytesMax: 10_000, queuedStreamsMax: 2 });
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    for (const id of [1, 3, 5]) {
      client.send(headersFrame(id, grpcFields(rangePath)), dataFrame(id, grpcMessage(nothing), Flag.endStream));
    }
    await client.settle();
    probe.held[0]?.reply.encoded(Buffer.alloc(20_000));
    probe.held[1]?.reply.encoded(Buffer.alloc(20_000));
    client.send(headersFrame(7, grpcFields(rangePath)));
    await client.settle();
    expect(client.frames.some((frame) => frame.type === FrameType.rstStream)).toBe(false);
    probe.held[2]?.reply.encoded(Buffer.alloc(1));
    client.send(putFrames(9));
    expect(await client.resetCode(9)).toBe(ErrorCode.refusedStream);
    client.send(rstFrame(1), rstFrame(3), settingsFrame([[Setting.initialWindowSize, 100]]));
    expect(await client.trailers(5)).toMatchObject({ 'grpc-status': '0' });
    await client.put(11);
  });
});

describe('silent clients', () => {
  test('that do not finish their handshake are closed', async () => {
    const silent = await probe.connect();
    silent.send(preface);
    await silent.next(() => true);
    const ready = await probe.client();
    clock.advance(10_000);
    await silent.closed;
    await ready.put(1);
  });

  test('are pinged after the interval and closed after the time-out', async () => {
    await probe.close();
    probe = await Probe.open({ clock, keepalive: { minTimeMs: 5_000, intervalMs: 1_000, timeoutMs: 500 } });
    const client = await probe.client();
    clock.advance(1_000);
    const isPing = ({ type, flags }: { type: number; flags: number }): boolean =>
      type === FrameType.ping && flags === 0;
    const ping = await client.next(isPing);
    client.send(rawFrame(FrameType.ping, Flag.ack, 0, ping.payload));
    await client.settle();
    clock.advance(500);
    await client.put(1);
    clock.advance(1_000);
    await client.next((frame) => isPing(frame) && frame !== ping);
    clock.advance(500);
    await client.closed;
    expect(probe.served.logger.lines.at(-1)?.facts).toMatchObject({ reason: 'client does not answer pings' });
  });
});

/** Waits until `read` gives the same for a while. */
async function stable(read: () => number): Promise<void> {
  let last = -1;
  for (let same = 0; same < 20; same++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (read() !== last) same = 0;
    last = read();
  }
}

test('a request header may be as large as the limit says, in however many pieces', async () => {
  const client = await probe.client();
  const block = encodeFields(grpcFields(putPath, ['token', 'x'.repeat(60_000)]));
  const size = Math.ceil(block.length / (h2Limits.continuationsMax - 1));
  client.send(headersFrame(1, block.subarray(0, size), Flag.endStream));
  for (let at = size; at < block.length; at += size) {
    const isLast = at + size >= block.length;
    client.send(rawFrame(FrameType.continuation, isLast ? Flag.endHeaders : 0, 1, block.subarray(at, at + size)));
  }
  expect(await client.trailers(1)).toMatchObject({ 'grpc-message': 'unexpected EOF' });
});
