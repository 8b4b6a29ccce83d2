/** A whole state on its way to a member whose own is damaged: asked for on a connection of its own, before that member runs. */
import { type Hello, InfoRequest, SnapshotChunk, Status, services } from '@quorate/proto';
import { type ServerCall, type ServerStream, StatusError } from '@quorate/rpc';
import type { StateStream } from '../peer-transport.ts';
import { IncomingChunks } from './incoming-chunks.ts';
import { connectPeer, type PeerParts } from './peer-wire.ts';

/** Rejects when the member refuses or goes away before the state begins; the chunks throw when it does later. */
export async function fetchState(url: string, hello: Hello, parts: PeerParts): Promise<StateStream> {
  const connection = connectPeer(url, parts);
  const received: IncomingChunks = new IncomingChunks(() => call);
  const call = connection.open(services.peer.methods.state.path, {
    onMessage: (bytes) => received.take(SnapshotChunk.decode(bytes)),
    onEnd: ({ code, message }) => {
      if (code === Status.OK) received.end();
      else received.fail(new StatusError(code, message));
    },
  });
  call.send(InfoRequest.encode(InfoRequest.create({ hello })));
  call.end();
  try {
    const first = await received.next();
    if (first?.message === undefined) throw new Error('a state without a message');
    return { message: first.message, chunks: dataOf(received, () => connection.close()) };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Sends what `state` resolves with, at the reader's pace. Never rejects: what fails ends the stream with what `asError` makes of it. */
export async function sendState(
  call: ServerCall,
  stream: ServerStream<SnapshotChunk>,
  state: Promise<StateStream>,
  asError: (error: unknown) => StatusError,
): Promise<void> {
  let writable: (() => void) | undefined;
  const wake = (): void => writable?.();
  stream.onDrain(wake);
  call.onCancel(wake);
  try {
    const { message, chunks } = await state;
    stream.send(SnapshotChunk.create({ message }));
    for await (const data of chunks) {
      if (call.cancelled) return;
      if (stream.send(SnapshotChunk.create({ data })) || call.cancelled) continue;
      await new Promise<void>((resolve) => {
        writable = resolve;
      });
    }
    stream.end();
  } catch (error) {
    stream.fail(asError(error));
  }
}

async function* dataOf(received: IncomingChunks, end: () => void): AsyncGenerator<Buffer> {
  try {
    yield* received.data();
  } finally {
    end();
  }
}
