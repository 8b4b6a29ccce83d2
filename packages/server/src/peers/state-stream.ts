/** A whole state on its way to a member whose own is damaged: asked for on a connection of its own, before that member runs. */
import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServerWritableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { type Hello, InfoRequest, SnapshotChunk } from '@quorate/proto';
import type { StateStream } from '../peer-transport.ts';
import { targetOf } from './peer-link.ts';
import { peerChannelOptions, peerPaths } from './peer-methods.ts';

/** Rejects when the member refuses or goes away before the state begins; the chunks throw when it does later. */
export async function fetchState(url: string, hello: Hello): Promise<StateStream> {
  const client = new Client(targetOf(url), credentials.createInsecure(), peerChannelOptions);
  const call = client.makeServerStreamRequest(
    peerPaths.state,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => SnapshotChunk.decode(bytes),
    InfoRequest.encode(InfoRequest.create({ hello })),
    new Metadata(),
  );
  const received = (call as ClientReadableStream<SnapshotChunk>)[Symbol.asyncIterator]();
  const end = (): void => {
    call.cancel();
    client.close();
  };
  try {
    const first = await received.next();
    if (first.done === true || first.value.message === undefined) throw new Error('a state without a message');
    return { message: first.value.message, chunks: dataOf(received, end) };
  } catch (error) {
    end();
    throw error;
  }
}

/** Sends what `state` resolves with, at the reader's pace. Never rejects: what fails ends the stream with an error. */
export async function sendState(
  call: ServerWritableStream<InfoRequest, SnapshotChunk>,
  state: Promise<StateStream>,
  asError: (error: unknown) => Partial<ServiceError>,
): Promise<void> {
  try {
    const { message, chunks } = await state;
    call.write(SnapshotChunk.create({ message }));
    for await (const data of chunks) {
      if (call.cancelled) return;
      if (!call.write(SnapshotChunk.create({ data }))) await writable(call);
    }
    call.end();
  } catch (error) {
    call.emit('error', asError(error));
  }
}

/** Resolves when more can be written, and when nobody reads any more. */
function writable(call: ServerWritableStream<InfoRequest, SnapshotChunk>): Promise<void> {
  return new Promise((resolve) => {
    call.once('drain', resolve);
    call.once('cancelled', resolve);
    if (call.cancelled) resolve();
  });
}

async function* dataOf(received: AsyncIterator<SnapshotChunk>, end: () => void): AsyncGenerator<Buffer> {
  try {
    for (let next = await received.next(); next.done !== true; next = await received.next()) yield next.value.data;
  } finally {
    end();
  }
}
