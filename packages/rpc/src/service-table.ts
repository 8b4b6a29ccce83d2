/**
 * Joins the generated service descriptions with handlers: `serviceHandlers(services.kv, { range, put })` gives the methods a
 * transport serves. The types of request, response and streaming follow from the description, so a handler of the wrong kind
 * does not compile.
 */
import type { MethodInfo, ServiceInfo } from '@quorate/proto';
import type {
  BidiHandler,
  ClientStreamHandler,
  MethodKind,
  ServerStreamHandler,
  ServiceMethod,
  UnaryHandler,
} from './service.ts';

/** The handler a method needs. */
export type HandlerOf<Method> =
  Method extends MethodInfo<infer Req, infer Res, infer ReqStream, infer ResStream>
    ? ReqStream extends true
      ? ResStream extends true
        ? BidiHandler<Req, Res>
        : ClientStreamHandler<Req, Res>
      : ResStream extends true
        ? ServerStreamHandler<Req, Res>
        : UnaryHandler<Req, Res>
    : never;

/** Handlers of a service by method name in lower camel case; methods left out answer UNIMPLEMENTED. */
export type HandlersOf<Service extends ServiceInfo> = {
  readonly [Name in keyof Service['methods']]?: HandlerOf<Service['methods'][Name]>;
};

/** The methods of `service` that have a handler. */
export function serviceHandlers<const Service extends ServiceInfo>(
  service: Service,
  handlers: HandlersOf<Service>,
): ServiceMethod[] {
  const methods: ServiceMethod[] = [];
  for (const [name, info] of Object.entries(service.methods)) {
    const handler: unknown = handlers[name];
    if (handler === undefined) continue;
    const kind = kindOf(info.requestStream, info.responseStream);
    // HandlersOf ties each handler to the kind of its method; this is where the compiler loses sight of it.
    methods.push({ kind, path: info.path, request: info.request, response: info.response, handler } as ServiceMethod);
  }
  return methods;
}

/** `{ service: 'etcdserverpb.KV', method: 'Put' }` of `/etcdserverpb.KV/Put`; undefined when it has no such form. */
export function splitPath(path: string): { readonly service: string; readonly method: string } | undefined {
  const start = path.startsWith('/') ? 1 : 0;
  const slash = path.lastIndexOf('/');
  if (slash < start) return undefined;
  return { service: path.slice(start, slash), method: path.slice(slash + 1) };
}

/**
 * What Go's gRPC answers, with UNIMPLEMENTED, to a path it does not serve. `services` are the full names of the services that
 * are served at least in part.
 */
export function unknownMethodText(path: string, services: ReadonlySet<string>): string {
  const parts = splitPath(path);
  if (parts === undefined) return `malformed method name: ${JSON.stringify(path)}`;
  if (!services.has(parts.service)) return `unknown service ${parts.service}`;
  return `unknown method ${parts.method} for service ${parts.service}`;
}

function kindOf(requestStream: boolean, responseStream: boolean): MethodKind {
  if (requestStream) return responseStream ? 'bidi' : 'clientStream';
  return responseStream ? 'serverStream' : 'unary';
}
