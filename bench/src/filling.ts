/** Filling a member with many keys, one put each, as many callers would. */
import { PutRequest, services } from '@quorate/proto';
import { H2Connection } from './load/h2-connection.ts';

export interface Filling {
  readonly endpoint: string;
  /** The keys written are those with these numbers, in no order that a store could like: half-open. */
  readonly from: number;
  readonly to: number;
  /** How many puts; as many as there are keys unless said. Beyond that they begin again. */
  readonly count?: number;
  readonly valueBytes: number;
}

const connectionCount = 20;
const callers = 500;
/** A stride that shares no factor with any decimal count of keys visits each once, far from the one before. */
const stride = 611_953;

/** A key of 32 bytes. */
export function keyOf(number: number): Buffer {
  return Buffer.from(`key/${String(number).padStart(28, '0')}`);
}

/** Puts the keys and resolves when all are acknowledged. Throws when one is refused. */
export async function fill({ endpoint, from, to, count = to - from, valueBytes }: Filling): Promise<void> {
  const connections = await Promise.all(Array.from({ length: connectionCount }, () => H2Connection.open(endpoint)));
  const { path } = services.kv.methods.put;
  const keyCount = to - from;
  const value = Buffer.alloc(valueBytes, 'v');
  let next = 0;
  let running = callers;
  try {
    await new Promise<void>((resolve, reject) => {
      const issue = (connection: H2Connection): void => {
        if (next >= count) {
          if (--running === 0) resolve();
          return;
        }
        const number = from + ((next++ * stride) % keyCount);
        connection.call(path, PutRequest.encode(PutRequest.create({ key: keyOf(number), value })), (answered) => {
          if (!answered) reject(new Error('a put was refused'));
          else issue(connection);
        });
      };
      for (let i = 0; i < callers; i++) issue(connections[i % connectionCount]!);
    });
  } finally {
    for (const connection of connections) connection.close();
  }
}
