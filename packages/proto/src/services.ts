/**
 * The RPCs as data: path, streaming, codecs. Transports, clients and the JSON gateway are built from these tables, and the
 * types of handlers follow from them; there is no reflection at run time. The tables themselves are generated.
 */
import type { Codec } from './codec.ts';
import {
  authService,
  clusterService,
  electionService,
  healthService,
  kvService,
  leaseService,
  lockService,
  maintenanceService,
  peerService,
  watchService,
} from './gen/services.ts';

/** One RPC. */
export interface MethodInfo<Request, Response, RequestStream extends boolean, ResponseStream extends boolean> {
  /** As in the .proto file: `LeaseGrant`. */
  readonly name: string;
  /** The HTTP/2 path: `/etcdserverpb.Lease/LeaseGrant`. */
  readonly path: string;
  readonly requestStream: RequestStream;
  readonly responseStream: ResponseStream;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

/** Any RPC, where the types do not matter. */
export type AnyMethod = MethodInfo<unknown, unknown, boolean, boolean>;

/** Any service: full name and RPCs by their name in lower camel case. */
export interface ServiceInfo {
  readonly name: string;
  readonly methods: Readonly<Record<string, AnyMethod>>;
}

/** The message type a method takes. */
export type RequestOf<M> = M extends MethodInfo<infer Request, infer _Response, boolean, boolean> ? Request : never;
/** The message type a method answers with. */
export type ResponseOf<M> = M extends MethodInfo<infer _Request, infer Response, boolean, boolean> ? Response : never;

/** Every service, those of the public API and our own. */
export const services: {
  readonly auth: typeof authService;
  readonly cluster: typeof clusterService;
  readonly election: typeof electionService;
  readonly health: typeof healthService;
  readonly kv: typeof kvService;
  readonly lease: typeof leaseService;
  readonly lock: typeof lockService;
  readonly maintenance: typeof maintenanceService;
  readonly peer: typeof peerService;
  readonly watch: typeof watchService;
} = {
  auth: authService,
  cluster: clusterService,
  election: electionService,
  health: healthService,
  kv: kvService,
  lease: leaseService,
  lock: lockService,
  maintenance: maintenanceService,
  peer: peerService,
  watch: watchService,
};
