/**
 * One decoded header field. What a field means to a gRPC server is found out when it is made, once; fields of the static and the
 * dynamic table are then used again and again by the requests that refer to them.
 */

/** What the request reader does with a field. */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  path: 3,
  authority: 4,
  contentType: 5,
  contentLength: 6,
  timeout: 7,
  encoding: 8,
  /** A field no request may have; the request is malformed (RFC 9113, 8.1.1). */
  malformed: 9,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

/** Bytes a field counts beyond its text, in the dynamic table and in header list sizes (RFC 7541, 4.1). */
export const fieldOverheadBytes = 32;

export class HeaderField {
  /** One character per byte. */
  readonly name: string;
  /** One character per byte. */
  readonly value: string;
  readonly kind: FieldKind;
  /** Size as HPACK counts it. */
  readonly sizeBytes: number;

  constructor(name: string, value: string) {
    this.name = name;
    this.value = value;
    this.kind = kindOf(name, value);
    this.sizeBytes = name.length + value.length + fieldOverheadBytes;
  }
}

/** Names with a meaning of their own. Those that belong to one connection are not for HTTP/2 (RFC 9113, 8.2.2). */
const kinds: ReadonlyMap<string, FieldKind> = new Map([
  [':method', FieldKind.method],
  [':scheme', FieldKind.scheme],
  [':path', FieldKind.path],
  [':authority', FieldKind.authority],
  ['content-type', FieldKind.contentType],
  ['content-length', FieldKind.contentLength],
  ['grpc-timeout', FieldKind.timeout],
  ['grpc-encoding', FieldKind.encoding],
  ['connection', FieldKind.malformed],
  ['proxy-connection', FieldKind.malformed],
  ['keep-alive', FieldKind.malformed],
  ['transfer-encoding', FieldKind.malformed],
  ['upgrade', FieldKind.malformed],
]);

function kindOf(name: string, value: string): FieldKind {
  if (!isFieldValue(value)) return FieldKind.malformed;
  const kind = kinds.get(name);
  if (kind !== undefined) return kind;
  if (name === 'te' && value !== 'trailers') return FieldKind.malformed;
  return isFieldName(name) ? FieldKind.regular : FieldKind.malformed;
}

/** Whether a regular field may be called `name` in HTTP/2: a token without upper-case letters. */
export function isFieldName(name: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) {
    if (nameCharacters[name.charCodeAt(i)] !== 1) return false;
  }
  return true;
}

/** Whether `value` has no NUL, line feed or carriage return, and no blank at either end (RFC 9113, 8.2.1). */
export function isFieldValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(length - 1))) return false;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code === 10 || code === 13) return false;
  }
  return true;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

const nameCharacters: Uint8Array = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  nameCharacters[character.charCodeAt(0)] = 1;
}
