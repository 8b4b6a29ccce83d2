/** Asks one member what it knows of its cluster, on a connection of its own: for a member that has no identity yet. */
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Clock } from '@quorate/base';
import { InfoRequest, InfoResponse } from '@quorate/proto';
import type { RemoteInfo } from '../peer-transport.ts';
import { targetOf } from './peer-link.ts';
import { peerChannelOptions, peerPaths } from './peer-methods.ts';

/** Rejects when there is no answer within `timeoutMs`, and at once when nobody listens there. */
export function fetchInfo(
  url: string,
  options: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<RemoteInfo> {
  const client = new Client(targetOf(url), credentials.createInsecure(), peerChannelOptions);
  const deadline = new Date(options.clock.wallMs() + options.timeoutMs);
  const asked = new Promise<InfoResponse>((resolve, reject) => {
    client.makeUnaryRequest(
      peerPaths.info,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => InfoResponse.decode(bytes),
      InfoRequest.encode(InfoRequest.create()),
      new Metadata(),
      { deadline },
      (error: ServiceError | null, answer?: InfoResponse) => (error === null ? resolve(answer!) : reject(error)),
    );
  });
  return asked
    .then(({ hello, members, leader, appliedIndex }) => {
      if (hello === undefined) throw new Error(`${url} does not say which cluster it is of`);
      return { clusterId: hello.clusterId, memberId: hello.from, members, leader, appliedIndex };
    })
    .finally(() => client.close());
}
