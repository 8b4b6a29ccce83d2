/**
 * What the header fields of a request say: which method is called, how, until when; or why the request is refused. The order of
 * the checks and the words of refusals are Go's (grpc-go, internal/transport/http2_server.go).
 */
import { Status, type StatusCode } from '@quorate/proto';
import type { Metadata, ServiceMethod } from '../service.ts';
import { unknownMethodText } from '../service-table.ts';
import { parseTimeoutMs } from '../timeout.ts';
import { FieldKind, type HeaderField } from './header-field.ts';

/** What a transport serves, prepared for look-ups. */
export interface Routes {
  /** By path. */
  readonly methods: ReadonlyMap<string, ServiceMethod>;
  /** Full names of services of which at least one method is served. */
  readonly services: ReadonlySet<string>;
}

/** A request that is answered at once, by headers alone. */
export interface Refusal {
  readonly httpStatus: number;
  readonly code: StatusCode;
  readonly message: string;
  /** Names the encodings that are understood. */
  readonly acceptEncoding: boolean;
}

/** A well-formed request without its body. Immutable: requests with the same header block share one. */
export class RequestHead implements Metadata {
  readonly path: string;
  /** Undefined when the request is refused. */
  readonly method: ServiceMethod | undefined;
  readonly refusal: Refusal | undefined;
  /** From grpc-timeout. */
  readonly timeoutMs: number | undefined;
  /** From content-length; -1 when it is absent. */
  readonly contentBytes: number;
  readonly isGzip: boolean;
  private readonly fields: readonly HeaderField[];

  constructor(parts: Parts, fields: readonly HeaderField[], routes: Routes) {
    this.path = parts.path;
    this.timeoutMs = parts.timeout === undefined ? undefined : parseTimeoutMs(parts.timeout);
    this.contentBytes = parts.contentBytes;
    this.isGzip = parts.encoding === 'gzip';
    this.fields = fields;
    const method = routes.methods.get(parts.path);
    this.refusal = refusalOf(parts, this.timeoutMs, method, routes);
    this.method = this.refusal === undefined ? method : undefined;
  }

  get(name: string): string | undefined {
    for (const field of this.fields) {
      if (field.name !== name || name.startsWith(':')) continue;
      return name.endsWith('-bin') ? firstBase64(field.value) : field.value;
    }
    return undefined;
  }
}

interface Parts {
  httpMethod: string;
  scheme: string;
  path: string;
  contentType: string;
  timeout: string | undefined;
  encoding: string;
  contentBytes: number;
}

/**
 * Reads a request's fields; undefined when the request is malformed (RFC 9113, 8.1.1). `isSecure`: it came over TLS, where etcd
 * takes the schemes of HTTP only; which of them it is counts nowhere, and without TLS etcd takes any.
 */
export function readRequestHead(
  fields: readonly HeaderField[],
  routes: Routes,
  isSecure: boolean,
): RequestHead | undefined {
  const parts: Parts = {
    httpMethod: '',
    scheme: '',
    path: '',
    contentType: '',
    timeout: undefined,
    encoding: 'identity',
    contentBytes: -1,
  };
  // Bit k: a pseudo field of kind k was seen.
  let pseudoSeen = 0;
  let regularSeen = false;
  for (const field of fields) {
    const kind = field.kind;
    if (isPseudo(kind)) {
      if (regularSeen || (pseudoSeen & (1 << kind)) !== 0) return undefined;
      pseudoSeen |= 1 << kind;
      if (kind === FieldKind.path) parts.path = field.value;
      else if (kind === FieldKind.method) parts.httpMethod = field.value;
      else if (kind === FieldKind.scheme) parts.scheme = field.value;
      continue;
    }
    regularSeen = true;
    if (kind !== FieldKind.regular && !takeField(field, parts)) return undefined;
  }
  if (!isComplete(parts, pseudoSeen, isSecure)) return undefined;
  return new RequestHead(parts, fields, routes);
}

/** Whether `fields` may follow a request's body: none of them a pseudo field. */
export function areTrailers(fields: readonly HeaderField[]): boolean {
  return fields.every((field) => field.kind !== FieldKind.malformed && !isPseudo(field.kind));
}

function isPseudo(kind: FieldKind): boolean {
  return kind >= FieldKind.method && kind <= FieldKind.authority;
}

/** False when the field makes the request malformed. */
function takeField(field: HeaderField, parts: Parts): boolean {
  switch (field.kind) {
    case FieldKind.contentType:
      parts.contentType = field.value;
      return true;
    case FieldKind.timeout:
      parts.timeout = field.value;
      return true;
    case FieldKind.encoding:
      parts.encoding = field.value;
      return true;
    case FieldKind.contentLength: {
      const isNumber = /^\d{1,15}$/.test(field.value);
      const contentBytes = Number(field.value);
      if (!isNumber || (parts.contentBytes !== -1 && parts.contentBytes !== contentBytes)) return false;
      parts.contentBytes = contentBytes;
      return true;
    }
    default:
      return false;
  }
}

const schemeAndPath = (1 << FieldKind.scheme) | (1 << FieldKind.path);

function isComplete(parts: Parts, pseudoSeen: number, isSecure: boolean): boolean {
  if (parts.httpMethod === '') return false;
  // CONNECT has neither scheme nor path (RFC 9113, 8.5), everything else both.
  if (parts.httpMethod === 'CONNECT') return (pseudoSeen & schemeAndPath) === 0;
  if (isSecure && parts.scheme !== 'https' && parts.scheme !== 'http') return false;
  return (pseudoSeen & schemeAndPath) === schemeAndPath && parts.path !== '';
}

function refusalOf(
  parts: Parts,
  timeoutMs: number | undefined,
  method: ServiceMethod | undefined,
  routes: Routes,
): Refusal | undefined {
  const { contentType, timeout, httpMethod, encoding, path } = parts;
  if (!isGrpc(contentType)) {
    return refusal(415, Status.INVALID_ARGUMENT, `invalid gRPC request content-type ${JSON.stringify(contentType)}`);
  }
  if (timeout !== undefined && timeoutMs === undefined) {
    return refusal(400, Status.INTERNAL, `malformed grpc-timeout: ${JSON.stringify(timeout)}`);
  }
  if (httpMethod !== 'POST') {
    const text = `Received a HEADERS frame with :method ${JSON.stringify(httpMethod)} which should be POST`;
    return refusal(405, Status.INTERNAL, text);
  }
  if (method === undefined) return refusal(200, Status.UNIMPLEMENTED, unknownMethodText(path, routes.services));
  if (encoding !== 'identity' && encoding !== 'gzip') {
    const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
    return { ...refusal(200, Status.UNIMPLEMENTED, text), acceptEncoding: true };
  }
  return undefined;
}

function refusal(httpStatus: number, code: StatusCode, message: string): Refusal {
  return { httpStatus, code, message, acceptEncoding: false };
}

/** `application/grpc`, alone or with a subtype or a parameter after it. */
function isGrpc(contentType: string): boolean {
  const expected = 'application/grpc';
  if (contentType === expected) return true;
  const next = contentType[expected.length];
  return contentType.toLowerCase().startsWith(expected) && (next === '+' || next === ';');
}

/** The first of the values, which may stand in one field with commas between them, with its padding. */
function firstBase64(value: string): string {
  const comma = value.indexOf(',');
  return Buffer.from(comma === -1 ? value : value.slice(0, comma), 'base64').toString('base64');
}
