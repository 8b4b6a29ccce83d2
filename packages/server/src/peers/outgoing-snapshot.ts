/**
 * Sends one snapshot, on a connection of its own: on the one of the raft messages it would stand before them. It takes turns: a
 * socket that takes everything at once must not keep the member from its heartbeats.
 */
import { type Clock, Deferred, nextTurn } from '@quorate/base';
import { SnapshotChunk, SnapshotReceipt, Status, services } from '@quorate/proto';
import { type RpcCall, type RpcConnection, type RpcStatus, StatusError } from '@quorate/rpc';
import type { SnapshotChunks } from '../peer-transport.ts';

/** Bytes sent in one turn. */
const turnBytesMax = 256 * 1024;

export class OutgoingSnapshot {
  readonly #clock: Clock;
  readonly #connection: RpcConnection;
  readonly #call: RpcCall;
  readonly #receipt = new Deferred<SnapshotReceipt>();
  #answer: SnapshotReceipt | undefined;
  #isOver = false;
  #moved = new Deferred<void>();

  /** Takes `connection` over. */
  constructor(connection: RpcConnection, clock: Clock) {
    this.#clock = clock;
    this.#connection = connection;
    this.#receipt.promise.catch(() => {
      // Seen by send, at the latest when everything is sent.
    });
    this.#call = connection.open(services.peer.methods.snapshot.path, {
      onMessage: (message) => {
        this.#answer = SnapshotReceipt.decode(message);
      },
      onDrain: () => this.#moved.resolve(),
      onEnd: (status) => this.#over(status),
    });
  }

  /** Resolves when the receiver has it all; rejects when it did not take it. `sent` is told the bytes of each chunk. Call it once. */
  async send(first: SnapshotChunk, chunks: SnapshotChunks, sent: (bytes: number) => void): Promise<void> {
    try {
      this.#call.send(SnapshotChunk.encode(first));
      let turnBytes = 0;
      for await (const data of chunks) {
        if (this.#isOver) break;
        const bytes = SnapshotChunk.encode(SnapshotChunk.create({ data }));
        sent(bytes.length);
        turnBytes += bytes.length;
        if (!this.#call.send(bytes)) await this.#drained();
        else if (turnBytes >= turnBytesMax) await nextTurn(this.#clock);
        if (turnBytes >= turnBytesMax) turnBytes = 0;
      }
      this.#call.end();
      await this.#receipt.promise;
    } finally {
      this.cancel();
    }
  }

  cancel(): void {
    this.#call.cancel();
    this.#connection.close();
  }

  async #drained(): Promise<void> {
    if (this.#isOver) return;
    this.#moved = new Deferred();
    await this.#moved.promise;
  }

  #over({ code, message }: RpcStatus): void {
    this.#isOver = true;
    this.#moved.resolve();
    if (code !== Status.OK) this.#receipt.reject(new StatusError(code, message));
    else if (this.#answer === undefined) this.#receipt.reject(new StatusError(Status.INTERNAL, 'no receipt'));
    else this.#receipt.resolve(this.#answer);
  }
}
