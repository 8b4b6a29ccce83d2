/** Asks one member what it knows of its cluster, on a connection of its own: for a member that has no identity yet. */
import { InfoRequest, InfoResponse, services } from '@quorate/proto';
import type { RemoteInfo } from '../peer-transport.ts';
import { connectPeer, type PeerParts } from './peer-wire.ts';

/** Rejects when there is no answer within `timeoutMs`, and at once when nobody listens there. */
export async function fetchInfo(url: string, options: PeerParts & { readonly timeoutMs: number }): Promise<RemoteInfo> {
  const connection = connectPeer(url, { clock: options.clock, logger: options.logger, tls: options.tls });
  try {
    const { path } = services.peer.methods.info;
    const answer = await connection.unary(path, InfoRequest.encode(InfoRequest.create()), options.timeoutMs);
    const { hello, members, leader, appliedIndex } = InfoResponse.decode(answer);
    if (hello === undefined) throw new Error(`${url} does not say which cluster it is of`);
    return { clusterId: hello.clusterId, memberId: hello.from, members, leader, appliedIndex };
  } finally {
    connection.close();
  }
}
