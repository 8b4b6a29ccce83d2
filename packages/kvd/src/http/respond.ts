/** The ways an endpoint answers, byte for byte as Go's net/http does it for etcd. */
import type { ServerResponse } from 'node:http';
import { FatalError } from '@quorate/base';

/** Plain text with a status, as http.Error: a newline is added. */
export function errorText(response: ServerResponse, status: number, text: string): void {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  plainText(response, status, `${text}\n`);
}

export function plainText(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}

/** Answers everything but GET with 405; true when it is GET. */
export function isGet(method: string | undefined, response: ServerResponse): boolean {
  if (method === 'GET') return true;
  response.setHeader('Allow', 'GET');
  errorText(response, 405, 'Method Not Allowed');
  return false;
}

/** What a failed read says. A FatalError is no answer and is thrown on. */
export function problemText(error: unknown): string {
  if (error instanceof FatalError) throw error;
  return error instanceof Error ? error.message : String(error);
}
