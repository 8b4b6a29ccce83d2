/**
 * The transport over grpc-js, loaded when it is asked for: its modules, with Node's own HTTP/2 behind them, take 50 ms of a start and 13 MB
 * of memory, and most members never use them.
 */
import type { ServeRpc } from './transport.ts';

/** Serves methods on grpc-js. */
export async function loadGrpcJs(): Promise<ServeRpc> {
  return (await import('./grpc-js-transport.ts')).serveGrpcJs;
}
