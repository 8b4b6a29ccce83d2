/** Very many leases, granted by a hundred callers over ten connections. */
import { LeaseGrantRequest, services } from '@quorate/proto';
import type { H2Connection } from './load/h2-connection.ts';

const callers = 100;

/** Grants the leases 1 to `count`. Rejects when one is refused. */
export async function grantLeases(
  connections: readonly H2Connection[],
  { count, ttl }: { readonly count: number; readonly ttl: number },
): Promise<void> {
  let next = 0;
  const caller = async (connection: H2Connection): Promise<void> => {
    while (next < count) {
      const id = BigInt(++next);
      const request = LeaseGrantRequest.encode(LeaseGrantRequest.create({ id, ttl }));
      const bytes = await connection.drain(services.lease.methods.leaseGrant.path, request);
      if (bytes === 0) throw new Error(`lease ${id} was not granted`);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, i) => caller(connections[i % connections.length]!)));
}
