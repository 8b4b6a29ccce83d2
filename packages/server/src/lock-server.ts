/** The Lock service without its transport: etcd's v3lock. The lock is the waiting line's first place. */
import { KvError, type LockRequest, LockResponse, type UnlockRequest, UnlockResponse } from '@quorate/proto';
import type { ServerCall } from '@quorate/rpc';
import type { LocalKv } from './local-kv.ts';
import { sessionExpired } from './recipe-error.ts';
import { enterLine, leaveLine, type Place, sessionLease, waitForTurn } from './waiting-line.ts';

export class LockServer {
  readonly #kv: LocalKv;

  constructor(kv: LocalKv) {
    this.#kv = kv;
  }

  /** Resolves when the lock is held. A wait that fails, by the caller's will or not, leaves no key behind. */
  async lock({ name, lease }: LockRequest, call: ServerCall): Promise<LockResponse> {
    const kv = this.#kv;
    const session = await sessionLease(kv, lease);
    const { place, header, holder } = await enterLine(kv, { name, lease: session, value: Buffer.alloc(0) });
    const { key } = place;
    if (holder === undefined || holder.createRevision === place.revision) {
      // Nobody hears of this lock: its key must not stand in the way of others until the lease ends.
      if (call.cancelled) await leaveLine(kv, place);
      return LockResponse.create({ header, key });
    }
    return LockResponse.create({ header: await this.#wait(name, place, call), key });
  }

  /** Deletes the key, whoever holds it; one that is not there is fine. */
  async unlock({ key }: UnlockRequest): Promise<UnlockResponse> {
    const { header } = await this.#kv.delete(key);
    return UnlockResponse.create({ header });
  }

  async #wait(name: Buffer, place: Place, call: ServerCall): Promise<LockResponse['header']> {
    const kv = this.#kv;
    const { key, revision } = place;
    try {
      await waitForTurn(kv, name, revision, call);
      const { kvs, header } = await kv.range({ key });
      // The lease may have ended in the meantime, and the key may even be there again, in a place further behind.
      if (kvs[0]?.createRevision !== revision) throw sessionExpired();
      if (call.cancelled) throw new KvError('requestCanceled');
      return header;
    } catch (error) {
      // Not the key as such: in a place further behind it is somebody else's.
      await leaveLine(kv, place).catch(() => {});
      throw error;
    }
  }
}
