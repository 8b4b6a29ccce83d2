export type { CallListener, ConnectOptions, RpcCall, RpcConnection } from './client.ts';
export { clientVersionGuard, LeaderMonitor, learnerGuard } from './guards.ts';
export { connectH2 } from './h2/client/client-connection.ts';
export { serveH2 } from './h2/h2-transport.ts';
export { type CallGuard, type InstrumentOptions, instrument, type StreamKeeper } from './instrument.ts';
export { loadGrpcJs } from './load-grpc-js.ts';
export { ListenError, Port, type PortOptions, type PortServices } from './port.ts';
export { okStatus, type RpcStatus, StatusError, tooLargeText, toStatus, wellFormed } from './respond.ts';
export type {
  BidiHandler,
  ClientStream,
  ClientStreamHandler,
  Metadata,
  MethodKind,
  Reply,
  ServerCall,
  ServerStream,
  ServerStreamHandler,
  ServiceMethod,
  UnaryHandler,
} from './service.ts';
export { type HandlerOf, type HandlersOf, serviceHandlers, splitPath, unknownMethodText } from './service-table.ts';
export {
  type KeepaliveOptions,
  type RpcTransport,
  requestOverheadBytes,
  type ServeOptions,
  type ServeRpc,
  serveDefaults,
} from './transport.ts';
