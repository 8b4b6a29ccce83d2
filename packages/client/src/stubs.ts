/**
 * Every unary method of every service under its own name, made from proto's tables: the low level of the API, where requests
 * and responses are the messages themselves. `client.rpc.kv.put({ key, value })` returns a PutResponse.
 */
import { type AnyMethod, type MethodInfo, services } from '@quorate/proto';
import type { Caller, CallOptions } from './call.ts';

/** One method as a function; fields left out of the request have their defaults. */
export type Stub<Method> =
  Method extends MethodInfo<infer Request, infer Response, false, false>
    ? (request: Partial<Request>, options?: CallOptions) => Promise<Response>
    : never;

type UnaryNames<Methods> = {
  [Name in keyof Methods]: Methods[Name] extends MethodInfo<infer _Request, infer _Response, false, false>
    ? Name
    : never;
}[keyof Methods];

/** The unary methods of one service. */
export type ServiceStubs<Methods> = { readonly [Name in UnaryNames<Methods>]: Stub<Methods[Name]> };

/** The unary methods of the public services, by service. */
export type Stubs = {
  readonly [Name in Exclude<keyof typeof services, 'peer'>]: ServiceStubs<(typeof services)[Name]['methods']>;
};

/** Makes the stubs of all public services. */
export function stubsOf(caller: Caller): Stubs {
  const stubs: Record<string, Record<string, unknown>> = {};
  for (const [name, service] of Object.entries(services)) {
    if (name !== 'peer') stubs[name] = serviceStubs(caller, service.methods);
  }
  return stubs as unknown as Stubs;
}

function serviceStubs(caller: Caller, methods: Readonly<Record<string, AnyMethod>>): Record<string, unknown> {
  const stubs: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(methods)) {
    if (method.requestStream || method.responseStream) continue;
    const unary = method as MethodInfo<unknown, unknown, false, false>;
    stubs[name] = (request: object, options?: CallOptions) => caller.unary(unary, request, options);
  }
  return stubs;
}
