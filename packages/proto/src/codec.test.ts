import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import type { Codec, FieldInfo } from './codec.ts';
import * as proto from './index.ts';
import { anyMessage, codecs, messageNames, reflection, toReflected } from './testing/reflection.ts';

test('there is a codec for every message of the .proto files and no other', () => {
  expect(codecs.map((codec) => codec.name)).toEqual(messageNames().sort());
});

describe.each(codecs)('$name', (codec) => {
  const type = reflection.lookupType(codec.name);

  test('its fields are described as the .proto file declares them', () => {
    const described = codec.fields.map(({ name, number, repeated, oneof, kind, message }) => {
      return { name, number, repeated, oneof, type: message === undefined ? kind : message().name };
    });
    const declared = type.fieldsArray.map((field) => ({
      name: field.name,
      number: field.id,
      repeated: field.repeated,
      oneof: field.partOf?.name,
      type: declaredType(field),
    }));
    expect(described).toEqual(declared);
  });

  test('its enum fields refer to the declared tables', () => {
    const enums = (field: FieldInfo): unknown => field.enumeration?.();
    const declared = type.fieldsArray.map((field) =>
      field.resolvedType instanceof protobuf.Enum ? field.resolvedType.values : undefined,
    );
    expect(codec.fields.map(enums)).toEqual(declared);
  });

  test('protobufjs reads what it writes, and it reads what protobufjs writes', () => {
    fc.assert(
      fc.property(anyMessage(codec), (message) => {
        const plain = toReflected(codec, message);
        const bytes = codec.encode(message);
        expect(type.toObject(type.decode(bytes), { longs: String })).toEqual(plain);
        const theirs = Buffer.from(type.encode(type.fromObject(plain)).finish());
        expect(bytes).toEqual(theirs);
        expect(codec.decode(theirs)).toStrictEqual(message);
      }),
      { numRuns: 40 },
    );
  });

  test('what create makes has all fields, at their defaults, and no bytes', () => {
    const message = codec.create();
    expect(Object.keys(message)).toEqual(codec.fields.map((field) => field.property));
    expect(codec.encode(message)).toHaveLength(0);
    expect(codec.decode(Buffer.alloc(0))).toStrictEqual(message);
  });

  test('create keeps what it is given', () => {
    fc.assert(
      fc.property(anyMessage(codec), (message) => {
        expect(codec.create(message)).toStrictEqual(message);
      }),
      { numRuns: 10 },
    );
  });

  test('two encodings one after another decode as the merge protobufjs makes of them', () => {
    fc.assert(
      fc.property(anyMessage(codec, 2), anyMessage(codec, 2), (first, second) => {
        const both = Buffer.concat([codec.encode(first), codec.encode(second)]);
        const merged = toReflected(codec, codec.decode(both));
        expect(merged).toEqual(withoutDefaults(type, type.toObject(type.decode(both), { longs: String })));
      }),
      // Oneofs have more ways to meet.
      { numRuns: codec.fields.some((field) => field.oneof !== undefined) ? 500 : 20 },
    );
  });
});

function declaredType(field: protobuf.Field): string {
  if (field.resolvedType instanceof protobuf.Type) return field.resolvedType.fullName.slice(1);
  return field.resolvedType === null ? field.type : 'enum';
}

function withoutDefaults(type: protobuf.Type, plain: Record<string, unknown>): Record<string, unknown> {
  return type.toObject(type.fromObject(plain), { longs: String });
}

test.each([
  { codec: proto.RangeRequest, name: 'range_end', json: 'rangeEnd', property: 'rangeEnd' },
  { codec: proto.LeaseGrantRequest, name: 'TTL', json: 'TTL', property: 'ttl' },
  { codec: proto.Member, name: 'ID', json: 'ID', property: 'id' },
  { codec: proto.Member, name: 'peerURLs', json: 'peerURLs', property: 'peerURLs' },
  { codec: proto.LeaseCheckpoint, name: 'remaining_TTL', json: 'remainingTTL', property: 'remainingTTL' },
  { codec: proto.AlarmMember, name: 'memberID', json: 'memberID', property: 'memberID' },
  { codec: proto.StatusResponse, name: 'dbSizeInUse', json: 'dbSizeInUse', property: 'dbSizeInUse' },
])('$codec.name calls $name $property, and $json in JSON', ({ codec, name, json, property }) => {
  expect(codec.fields.find((field) => field.name === name)).toMatchObject({ json, property });
});

test('identities are held exactly, everything else that counts as a number', () => {
  const held = (codec: Codec<unknown>): string[] =>
    codec.fields.filter((field) => field.bigint !== undefined).map((field) => `${field.property} ${field.bigint}`);
  expect(held(proto.ResponseHeader)).toEqual(['clusterId unsigned', 'memberId unsigned']);
  expect(held(proto.KeyValue)).toEqual(['lease unsigned']);
  expect(held(proto.WatchResponse)).toEqual(['watchId signed']);
  expect(held(proto.StatusResponse)).toEqual(['leader unsigned']);
  expect(held(proto.ConfState)).toEqual([
    'voters unsigned',
    'learners unsigned',
    'votersOutgoing unsigned',
    'learnersNext unsigned',
  ]);
  expect(held(proto.Message)).toEqual(['to unsigned', 'from unsigned', 'vote unsigned']);
  expect(held(proto.RequestHeader)).toEqual(['proposer unsigned']);
  expect(held(proto.ConfChange)).toEqual(['nodeId unsigned']);
});

test('the empty message costs no bytes when nested', () => {
  const request = proto.WatchRequest.create({ progressRequest: proto.WatchProgressRequest.create() });
  expect(proto.WatchRequest.encode(request)).toEqual(Buffer.from([0x1a, 0x00]));
});
