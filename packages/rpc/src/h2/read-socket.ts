/**
 * Reads a socket past Node's streams. A stream makes memory of 64 KiB for every read, gives most of it back, and passes what was read
 * through its queue: for a process that has just woken up for one small message that is a third of all work. Node can read into
 * one buffer instead (`onread` of net.connect), but offers that for no socket that a server accepted. What the option sets is found
 * here by name, and where it is not what it was in Node 20, and with TLS, the stream is read.
 */

import { Socket } from 'node:net';
import { platform } from 'node:process';
import { TLSSocket } from 'node:tls';

/** Node's names: what is read into, and who is called with the number of bytes. */
const bufferName = 'kBuffer';
const callbackName = 'kBufferCb';

/** What a socket has, of which its type says nothing. */
interface Internals {
  [name: symbol]: unknown;
  readonly _handle?: { useUserBuffer?(buffer: Buffer): void } | null;
}

/** Smaller reads share memory of 8 KiB, as Node's small buffers do: whoever keeps a part of one keeps all of that. */
const pooledBytesMax = 1_024;

/** As much as Node reads at once. All sockets share it: whoever is called copies what is in it, before anything else is read. */
const shared: Buffer = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * Calls `onData` with everything that `socket` reads from now on; the memory is the callee's. `pause`, `resume`, `end` and `close` do
 * and mean what they do for every socket.
 */
export function readSocket(socket: Socket, onData: (chunk: Buffer) => void): void {
  if (!readsPast(socket, onData)) socket.on('data', onData);
}

function readsPast(socket: Socket, onData: (chunk: Buffer) => void): boolean {
  // Elsewhere the system may write into the buffer while it is another socket's turn.
  if (platform !== 'linux' || socket instanceof TLSSocket || !(socket instanceof Socket)) return false;
  // What the stream holds comes out of it in no other way.
  if (socket.readableLength > 0) return false;
  const internals = socket as unknown as Internals;
  const names = Object.getOwnPropertySymbols(socket);
  const [buffer, callback] = [bufferName, callbackName].map((name) => names.find((one) => one.description === name));
  if (buffer === undefined || callback === undefined) return false;
  if (typeof internals._handle?.useUserBuffer !== 'function') return false;
  internals[buffer] = shared;
  internals[callback] = (bytes: number): void => {
    const chunk = bytes <= pooledBytesMax ? Buffer.allocUnsafe(bytes) : Buffer.allocUnsafeSlow(bytes);
    shared.copy(chunk, 0, 0, bytes);
    onData(chunk);
  };
  internals._handle.useUserBuffer(shared);
  return true;
}
