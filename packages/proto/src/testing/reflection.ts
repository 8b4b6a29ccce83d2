/**
 * The other implementation: protobufjs' reflection over the same .proto files, and random messages that both understand. Only
 * for tests.
 */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import type { Codec, FieldInfo } from '../codec.ts';
import * as index from '../index.ts';

/** A message whose type is not known where it is handled. */
export type AnyMessage = Record<string, unknown>;

/** Every generated codec, in order of name. */
export const codecs: readonly Codec<AnyMessage>[] = (Object.values(index) as unknown[])
  .filter(isCodec)
  .sort((a, b) => (a.name < b.name ? -1 : 1));

/** All .proto files, parsed. */
export const reflection: protobuf.Root = loadReflection();

/** Names of all message types in the .proto files. */
export function messageNames(root: protobuf.ReflectionObject = reflection): string[] {
  const own = root instanceof protobuf.Type ? [root.fullName.slice(1)] : [];
  const nested = root instanceof protobuf.Namespace ? root.nestedArray.flatMap((item) => messageNames(item)) : [];
  return [...own, ...nested];
}

/** Numbers around every size a varint can have, and around the bounds of what is held exactly. */
const uint64Edges = [
  ...[7, 14, 21, 28, 31, 32, 35, 42, 49, 53, 56, 63].flatMap((bits) => [(1n << BigInt(bits)) - 1n, 1n << BigInt(bits)]),
  0xffff_ffff_ffff_fffen,
  0xffff_ffff_ffff_ffffn,
];
const uint64: fc.Arbitrary<bigint> = fc.oneof(
  fc.constantFrom(...uint64Edges),
  fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
);
const safeEdges = uint64Edges.filter((edge) => edge <= Number.MAX_SAFE_INTEGER).map(Number);
const natural = fc.oneof(fc.constantFrom(0, 1, ...safeEdges), fc.maxSafeNat());
const integer = fc.oneof(
  natural,
  natural.map((n) => -n || 0),
  fc.integer(),
);
const bytes = fc.uint8Array({ maxLength: 200, size: 'medium' }).map((array) => Buffer.from(array));
const text = fc.oneof(fc.string(), fc.string({ unit: 'binary', size: 'medium' }), fc.constant('x'.repeat(200)));

/** Random messages of a type, with every field sometimes set; `depth` bounds how far they nest. */
export function anyMessage(codec: Codec<AnyMessage>, depth = 3): fc.Arbitrary<AnyMessage> {
  const shape: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of codec.fields) shape[field.property] = anyField(field, depth);
  return fc.record(shape, { noNullPrototype: true }).chain((message) => anyChoice(codec, message));
}

/** What protobufjs calls the same message: names of the .proto file, 64-bit values as decimal text, no default values. */
export function toReflected(codec: Codec<AnyMessage>, message: AnyMessage): AnyMessage {
  const plain: AnyMessage = {};
  for (const field of codec.fields) {
    const value = message[field.property];
    if (field.repeated) {
      const list = value as unknown[];
      if (list.length > 0) plain[field.name] = list.map((item) => reflectedValue(field, item));
    } else if (value !== undefined && (field.oneof !== undefined || !isDefault(value))) {
      plain[field.name] = reflectedValue(field, value);
    }
  }
  return plain;
}

function isCodec(value: unknown): value is Codec<AnyMessage> {
  return typeof value === 'object' && value !== null && 'decode' in value && 'fields' in value;
}

function loadReflection(): protobuf.Root {
  const directory = new URL('../../../../proto/', import.meta.url);
  const root = new protobuf.Root();
  for (const file of readdirSync(directory)) {
    if (file.endsWith('.proto'))
      protobuf.parse(readFileSync(new URL(file, directory), 'utf8'), root, { keepCase: true });
  }
  root.resolveAll();
  return root;
}

function anyField(field: FieldInfo, depth: number): fc.Arbitrary<unknown> {
  const one = field.kind === 'message' ? anyNested(field, depth) : anyScalar(field);
  if (one === undefined) return fc.constant(field.repeated ? [] : undefined);
  if (field.repeated) return fc.array(one, { maxLength: 4 });
  if (field.kind === 'message' || field.oneof !== undefined) return fc.option(one, { nil: undefined });
  return fc.oneof(fc.constant(defaultOf(field)), one);
}

function anyNested(field: FieldInfo, depth: number): fc.Arbitrary<AnyMessage> | undefined {
  return depth === 0 ? undefined : anyMessage(field.message!() as Codec<AnyMessage>, depth - 1);
}

function anyScalar(field: FieldInfo): fc.Arbitrary<unknown> {
  switch (field.kind) {
    case 'bool':
      return fc.boolean();
    case 'bytes':
      return bytes;
    case 'string':
      return text;
    case 'enum':
      return fc.oneof(fc.constantFrom(...Object.values(field.enumeration!())), fc.integer());
    case 'int32':
      return fc.integer();
    case 'uint32':
      return fc.nat(0xffff_ffff);
    default:
      if (field.bigint === 'unsigned') return uint64;
      if (field.bigint === 'signed') return uint64.map((value) => BigInt.asIntN(64, value));
      return field.kind === 'uint64' ? natural : integer;
  }
}

/** Keeps at most one member of each oneof. */
function anyChoice(codec: Codec<AnyMessage>, message: AnyMessage): fc.Arbitrary<AnyMessage> {
  const members = codec.fields.filter((field) => field.oneof !== undefined);
  if (members.length === 0) return fc.constant(message);
  return fc.constantFrom(...members).map((chosen) => {
    const result = { ...message };
    for (const member of members) if (member !== chosen) result[member.property] = undefined;
    return result;
  });
}

function defaultOf(field: FieldInfo): unknown {
  if (field.bigint !== undefined) return 0n;
  if (field.kind === 'bool') return false;
  if (field.kind === 'bytes') return index.emptyBytes;
  return field.kind === 'string' ? '' : 0;
}

function isDefault(value: unknown): boolean {
  return (
    value === 0 || value === 0n || value === '' || value === false || (value instanceof Buffer && value.length === 0)
  );
}

function reflectedValue(field: FieldInfo, value: unknown): unknown {
  if (field.kind === 'message') return toReflected(field.message!() as Codec<AnyMessage>, value as AnyMessage);
  if (field.kind === 'int64') return BigInt.asIntN(64, BigInt(value as number | bigint)).toString();
  return field.kind === 'uint64' ? String(value) : value;
}
