/**
 * What a generated codec looks like from outside. Every message of the .proto files is one interface and one object of type
 * Codec under the same name; the objects are straight-line code over Reader and Writer, and carry a description of their
 * fields so that printers (JSON, tables) need no reflection library.
 */
import type { Reader } from './reader.ts';
import type { Writer } from './writer.ts';

/** The protobuf types in use. Others (floats, fixed, maps, groups) do not occur and the generator refuses them. */
export type FieldKind = 'bool' | 'bytes' | 'enum' | 'int32' | 'int64' | 'message' | 'string' | 'uint32' | 'uint64';

/** Names to numbers, as `AlarmType`. Numbers outside the table pass through codecs unchanged. */
export type EnumTable = Readonly<Record<string, number>>;

/** One field of a message, for code that walks over messages it does not know. */
export interface FieldInfo {
  /** As in the .proto file: `range_end`. */
  readonly name: string;
  /** As in proto3 JSON: `rangeEnd`. */
  readonly json: string;
  /** As in the TypeScript interface: `rangeEnd`; differs from `json` for `ID` (`id`) and `TTL` (`ttl`). */
  readonly property: string;
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  /** Name of the oneof it belongs to; such a field is undefined when not set, even when its type is a number. */
  readonly oneof?: string;
  /**
   * How a 64-bit field is held: absent means as a number clamped to ±(2^53−1), otherwise as an exact bigint. 'unsigned' on
   * an int64 (leases) means that the bigint is the value modulo 2^64; its JSON form is still signed.
   */
  readonly bigint?: 'signed' | 'unsigned';
  /** The codec of a message field. A function because messages may contain themselves. */
  readonly message?: () => Codec<unknown>;
  /** The table of an enum field. */
  readonly enumeration?: () => EnumTable;
}

/** Encoder, decoder and description of one message type. Methods do not use `this`. */
export interface Codec<T> {
  /** Full protobuf name: `etcdserverpb.PutRequest`. */
  readonly name: string;
  /** In order of declaration. */
  readonly fields: readonly FieldInfo[];
  /** A message with all fields present, the ones not given in `init` at their defaults; shallow, keeps what it is given. */
  create(init?: Partial<T>): T;
  /** The exact number of bytes {@link write} will produce. */
  size(message: T): number;
  /** Appends the encoding to `writer`, which has at least {@link size} bytes left. No length prefix. */
  write(message: T, writer: Writer): void;
  /** One freshly allocated buffer that belongs to the caller. */
  encode(message: T): Buffer;
  /**
   * Reads fields until `end`, an offset into the reader's buffer. With `into`, continues that message, as protobuf merges
   * a repeated occurrence: scalars are replaced, lists grow, messages merge. Throws DecodeError.
   */
  read(reader: Reader, end: number, into?: T): T;
  /** Reads a whole message. Byte fields are views of `bytes`. Throws DecodeError when malformed. */
  decode(bytes: Buffer): T;
}
