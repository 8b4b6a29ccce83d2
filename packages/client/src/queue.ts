/**
 * Waiting in line, as locks and elections do it: everybody puts a key under a common prefix, bound to its session's lease, and
 * it is the turn of the one whose key was created first. Each watches only the key before its own, so that an end wakes one.
 */
import { type Compare, KvError, type TxnResponse } from '@quorate/proto';
import { type Bytes, toBuffer } from './bytes.ts';
import { CompactedError } from './errors.ts';
import type { Session } from './session.ts';
import type { Space } from './space.ts';
import { compare, op } from './txn.ts';

/** A place in a line: the key, and the revision that created it. */
export interface Place {
  readonly key: Buffer;
  readonly revision: number;
}

/** What was found when a place was taken. */
export interface Taken extends Place {
  /** The value that was there when the session had this place already; undefined when it is new. */
  readonly oldValue: Buffer | undefined;
  /** True when it is this place's turn. */
  readonly isFirst: boolean;
}

/** How long taking a key back may take after its owner gave up. */
const giveUpMs = 5_000;

/** The line of everybody who uses the same name. */
export class Queue {
  readonly #session: Session;
  /** Name and a slash, so that no name is the beginning of another. */
  readonly #prefix: Buffer;
  readonly key: Buffer;

  constructor(session: Session, name: Bytes) {
    this.#session = session;
    this.#prefix = Buffer.concat([toBuffer(name), Buffer.from('/')]);
    // As Go prints an int64 in hex, because all clients of a line make their keys alike: ids may be negative.
    this.key = Buffer.concat([this.#prefix, Buffer.from(BigInt.asIntN(64, session.lease).toString(16))]);
  }

  get prefix(): Buffer {
    return this.#prefix;
  }

  /**
   * Takes the session's place, or finds it taken by the session already. Hence it may be repeated when its outcome is unknown. The
   * one thing left to chance: a first attempt that takes effect after a second one was answered and its place given
   * back leaves a key, which ends with the session.
   */
  async take(value: Bytes, signal: AbortSignal): Promise<Taken> {
    const { key } = this;
    const { kv } = this.#session.space;
    const first = op.get(this.#prefix, { prefix: true, sortBy: 'CREATE', order: 'ASCEND', limit: 1, keysOnly: true });
    const response = await kv.txn(
      {
        compare: [compare.createRevision(key, '=', 0)],
        success: [op.put(key, value, { lease: this.#session.lease }), first],
        failure: [op.get(key), first],
      },
      { signal, retry: 'always' },
    );
    const mine = response.responses[0]?.responseRange?.kvs[0];
    const revision = mine?.createRevision ?? revisionOf(response);
    const owner = response.responses[1]?.responseRange?.kvs[0];
    return {
      key,
      revision,
      oldValue: mine?.value,
      isFirst: owner === undefined || owner.createRevision === revision,
    };
  }

  /** Resolves when no place before this one is left. */
  async waitForTurn({ revision }: Place, signal: AbortSignal): Promise<void> {
    const { space } = this.#session;
    for (;;) {
      const { kvs, header } = await space.kv.get(
        this.#prefix,
        { prefix: true, sortBy: 'CREATE', order: 'DESCEND', limit: 1, keysOnly: true, maxCreateRevision: revision - 1 },
        { signal },
      );
      const before = kvs[0];
      if (before === undefined) return;
      await deleted(space, { key: before.key, since: (header?.revision ?? 0) + 1 }, signal);
    }
  }

  /** Rejects when the place is not there any more, its session having ended. */
  async mustStand({ key, revision }: Place, signal: AbortSignal): Promise<void> {
    const { kvs } = await this.#session.space.kv.get(key, { keysOnly: true }, { signal });
    if (kvs[0]?.createRevision !== revision) throw new KvError('leaseNotFound');
  }

  /** Gives a place back; false when it was gone. Deletes this place only, so it may be repeated. */
  async give(place: Place, signal: AbortSignal): Promise<boolean> {
    const { succeeded } = await this.#session.space.kv.txn(
      { compare: [isHeld(place)], success: [op.delete(place.key)] },
      { signal, retry: 'always' },
    );
    return succeeded;
  }

  /** Takes back what an attempt that was given up may have left. What this cannot reach ends with the session. */
  async withdraw(): Promise<void> {
    try {
      await this.#session.space.kv.delete(this.key, {}, { timeoutMs: giveUpMs, retry: 'always' });
    } catch {
      // The reason to give up is what the caller is told; the key is bound to the lease.
    }
  }
}

/** True in a transaction as long as the place is held. */
export function isHeld({ key, revision }: Place): Compare {
  return compare.createRevision(key, '=', revision);
}

function revisionOf({ header }: TxnResponse): number {
  return header?.revision ?? 0;
}

async function deleted(
  space: Space,
  { key, since }: { key: Buffer; since: number },
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const { kind } of space.watch(key, { startRevision: since, noPut: true, signal })) {
      if (kind === 'events') return;
    }
  } catch (error) {
    // Who asks again finds out.
    if (!(error instanceof CompactedError)) throw error;
  }
}
