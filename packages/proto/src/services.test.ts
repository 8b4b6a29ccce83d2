import protobuf from 'protobufjs';
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  type PutRequest,
  type PutResponse,
  type RequestOf,
  type ResponseOf,
  type ServiceInfo,
  services,
} from './index.ts';
import { reflection } from './testing/reflection.ts';

const all: readonly ServiceInfo[] = Object.values(services);

function declaredServices(item: protobuf.ReflectionObject): protobuf.Service[] {
  if (item instanceof protobuf.Service) return [item];
  return item instanceof protobuf.Namespace ? item.nestedArray.flatMap(declaredServices) : [];
}

describe('the service tables', () => {
  test('hold every service and method of the .proto files, with their messages and streams', () => {
    const declared = declaredServices(reflection).flatMap((service) =>
      service.methodsArray.map((method) => ({
        path: `/${service.fullName.slice(1)}/${method.name}`,
        request: method.resolvedRequestType?.fullName.slice(1),
        response: method.resolvedResponseType?.fullName.slice(1),
        requestStream: method.requestStream ?? false,
        responseStream: method.responseStream ?? false,
      })),
    );
    const described = all.flatMap(({ methods }) =>
      Object.values(methods).map(({ path, request, response, requestStream, responseStream }) => {
        return { path, request: request.name, response: response.name, requestStream, responseStream };
      }),
    );
    const byPath = (a: { path: string }, b: { path: string }): number => (a.path < b.path ? -1 : 1);
    expect(described.sort(byPath)).toEqual(declared.sort(byPath));
  });

  test('name each method by its own name in lower camel case', () => {
    for (const { name, methods } of all) {
      for (const [key, method] of Object.entries(methods)) {
        expect(method.path).toBe(`/${name}/${method.name}`);
        expect(key).toBe(method.name[0]!.toLowerCase() + method.name.slice(1));
      }
    }
  });

  test('carry the types of requests and responses', () => {
    const { put } = services.kv.methods;
    expectTypeOf<RequestOf<typeof put>>().toEqualTypeOf<PutRequest>();
    expectTypeOf<ResponseOf<typeof put>>().toEqualTypeOf<PutResponse>();
    expectTypeOf(services.watch.methods.watch.requestStream).toEqualTypeOf<true>();
    expectTypeOf(put.responseStream).toEqualTypeOf<false>();
    expect(put.path).toBe('/etcdserverpb.KV/Put');
  });
});
