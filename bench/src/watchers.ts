/** Very many watches, each on a stream of its own, a hundred streams to a connection. */
import { services, WatchCreateRequest, WatchRequest } from '@quorate/proto';
import { H2Connection } from './load/h2-connection.ts';

const streamsPerConnection = 100;

export interface Watchers {
  close(): void;
}

/** Resolves when all `count` are created; `onEvents` is called for every answer after that. */
export async function openWatchers(watched: {
  readonly endpoint: string;
  readonly count: number;
  readonly keyOf: (watcher: number) => string;
  readonly onEvents?: () => void;
}): Promise<Watchers> {
  const { endpoint, count, keyOf, onEvents = () => {} } = watched;
  const connections: H2Connection[] = [];
  let created = 0;
  let finish: () => void = () => {};
  const all = new Promise<void>((resolve) => (finish = resolve));
  for (let i = 0; i < count; i++) {
    if (i % streamsPerConnection === 0) connections.push(await H2Connection.open(endpoint));
    const createRequest = WatchCreateRequest.create({ key: Buffer.from(keyOf(i)) });
    const send = connections.at(-1)!.open(services.watch.methods.watch.path, () => {
      if (created === count) onEvents();
      else if (++created === count) finish();
    });
    send(WatchRequest.encode(WatchRequest.create({ createRequest })));
  }
  if (count > 0) await all;
  return {
    close: () => {
      for (const connection of connections) connection.close();
    },
  };
}
