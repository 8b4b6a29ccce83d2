/** What the header fields of an answer say: the words of gRPC over HTTP/2 (PROTOCOL-HTTP2.md), read as Go's client reads them. */
import { Status, type StatusCode } from '@quorate/proto';
import type { RpcStatus } from '../../respond.ts';
import { FieldKind, type HeaderField } from '../header-field.ts';

/** HTTP's status when `fields` are well-formed headers of an answer (RFC 9113, 8.3.2); undefined when they are not. */
export function httpStatusOf(fields: readonly HeaderField[]): number | undefined {
  let status: number | undefined;
  let regularSeen = false;
  for (const { name, value, kind } of fields) {
    if (name === ':status') {
      // HTTP/2 has no 101 (RFC 9113, 8.6).
      if (status !== undefined || regularSeen || !/^[1-9][0-9]{2}$/.test(value) || value === '101') return undefined;
      status = Number(value);
    } else {
      if (!isRegular(name, kind)) return undefined;
      regularSeen = true;
    }
  }
  return status;
}

/** What content-length promises, -1 when there is none; undefined when it is no number, or several (RFC 9110, 8.6). */
export function contentBytesOf(fields: readonly HeaderField[]): number | undefined {
  let contentBytes = -1;
  for (const { value, kind } of fields) {
    if (kind !== FieldKind.contentLength) continue;
    if (!/^\d{1,15}$/.test(value) || (contentBytes !== -1 && contentBytes !== Number(value))) return undefined;
    contentBytes = Number(value);
  }
  return contentBytes;
}

/** Whether `fields` may follow a body. */
export function areTrailingFields(fields: readonly HeaderField[]): boolean {
  return fields.every(({ name, kind }) => isRegular(name, kind));
}

/** How the call ends according to its last header block; undefined when that does not say. */
export function grpcStatusOf(fields: readonly HeaderField[]): RpcStatus | undefined {
  const text = textOf(fields, 'grpc-status');
  if (text === undefined) return undefined;
  const code = /^[0-9]{1,2}$/.test(text) ? Number(text) : -1;
  if (!codes.has(code)) return { code: Status.UNKNOWN, message: `unknown status: ${text}` };
  return { code: code as StatusCode, message: percentDecode(textOf(fields, 'grpc-message') ?? '') };
}

/** Why an answer with these headers is none of gRPC's; undefined when it may be. */
export function strangerStatus(fields: readonly HeaderField[], httpStatus: number): RpcStatus | undefined {
  if (httpStatus !== 200) {
    const message = `unexpected HTTP status code received from server: ${httpStatus}`;
    return { code: codeByHttpStatus.get(httpStatus) ?? Status.UNKNOWN, message };
  }
  const type = textOf(fields, 'content-type');
  if (type !== undefined && /^application\/grpc($|[+;])/.test(type)) return undefined;
  const message = type === undefined ? 'missing content-type field' : `received unexpected content-type "${type}"`;
  return { code: Status.UNKNOWN, message };
}

/** gRPC's http-grpc-status-mapping.md. */
const codeByHttpStatus: ReadonlyMap<number, StatusCode> = new Map([
  [400, Status.INTERNAL],
  [401, Status.UNAUTHENTICATED],
  [403, Status.PERMISSION_DENIED],
  [404, Status.UNIMPLEMENTED],
  [429, Status.UNAVAILABLE],
  [502, Status.UNAVAILABLE],
  [503, Status.UNAVAILABLE],
  [504, Status.UNAVAILABLE],
]);
const codes: ReadonlySet<number> = new Set(Object.values(Status));

/** `text` without its %XX; what is no such thing stays as it is, and so do bytes that are no UTF-8. */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text;
  const latin1 = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, 'latin1').toString('utf8');
}

function isRegular(name: string, kind: FieldKind): boolean {
  return kind !== FieldKind.malformed && !name.startsWith(':');
}

function textOf(fields: readonly HeaderField[], name: string): string | undefined {
  return fields.find((field) => field.name === name)?.value;
}
