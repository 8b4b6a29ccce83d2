/** Writes of a mirror into its destination: in transactions of at most so many changes and bytes. */
import type { Kv } from '@quorate/client';
import type { RequestOp } from '@quorate/proto';

/** Well below the 1.5 MiB that members accept by default; a change that is larger goes alone. */
const txnBytesMax = 512 * 1024;

export class MirrorWriter {
  readonly #kv: Pick<Kv, 'txn'>;
  readonly #opsMax: number;
  #written = 0;

  constructor(kv: Pick<Kv, 'txn'>, opsMax: number) {
    this.#kv = kv;
    this.#opsMax = opsMax;
  }

  /** Changes written so far. */
  get written(): number {
    return this.#written;
  }

  /**
   * Writes these changes in their order, of different keys each; in one transaction if they are few enough. Rejects as soon as the
   * outcome of one is unknown: doing it again later could put an old value over a new one.
   */
  async write(ops: readonly RequestOp[]): Promise<void> {
    for (let from = 0; from < ops.length; ) {
      const to = this.#end(ops, from);
      await this.#kv.txn({ success: ops.slice(from, to) });
      this.#written += to - from;
      from = to;
    }
  }

  /** Behind the last change that goes into the transaction that begins here. */
  #end(ops: readonly RequestOp[], from: number): number {
    let bytes = 0;
    let to = from;
    while (to < ops.length && to - from < this.#opsMax) {
      bytes += sizeOf(ops[to]!);
      if (bytes > txnBytesMax && to > from) break;
      to += 1;
    }
    return to;
  }
}

function sizeOf({ requestPut, requestDeleteRange }: RequestOp): number {
  return (
    (requestPut === undefined ? 0 : requestPut.key.length + requestPut.value.length) +
    (requestDeleteRange?.key.length ?? 0)
  );
}
