/** The peers of a member that has none: it listens nowhere, and who is added to its cluster is never reached. */
import type { PeerTransport } from '@quorate/server';

export function loneTransport(): PeerTransport {
  const alone = (): Promise<never> => Promise.reject(new Error('this member was opened without a cluster'));
  return {
    start: () => Promise.resolve(),
    fetchInfo: alone,
    fetchState: alone,
    setPeers: () => {},
    send: () => {},
    sendSnapshot: alone,
    askLease: alone,
    askPromote: alone,
    askHash: alone,
    connectedSinceMs: () => undefined,
    versionOf: () => undefined,
    stop: () => Promise.resolve(),
  };
}
