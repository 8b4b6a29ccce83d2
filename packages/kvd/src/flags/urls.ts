/** Lists of URLs to listen on and to advertise, checked as etcd checks them (client/pkg/types). */
import { FlagValueError } from './go-values.ts';

/** A URL of the form `http://host:port` or `https://host:port`. */
export interface HostUrl {
  /** As given. */
  readonly text: string;
  readonly scheme: 'http' | 'https';
  /** Without the brackets of an IPv6 address; may be empty. */
  readonly host: string;
  readonly port: number;
}

/** A comma-separated list, sorted and without repetitions, as etcd keeps it; empty text is an empty list. */
export function parseUrls(text: string): readonly HostUrl[] {
  if (text === '') return [];
  const unique = [...new Set(text.split(',').map((part) => part.trim()))];
  return unique.sort(compareText).map(parseUrl);
}

/** One URL. Throws FlagValueError in etcd's words. */
export function parseUrl(text: string): HostUrl {
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text)?.[1];
  if (scheme === undefined && /^[^/]*:/.test(text)) {
    throw new FlagValueError(`parse "${text}": first path segment in URL cannot contain colon`);
  }
  if (scheme === 'unix' || scheme === 'unixs') {
    throw new FlagValueError(`URL scheme ${scheme} is not supported, use http or https: ${text}`);
  }
  if (scheme !== 'http' && scheme !== 'https') {
    throw new FlagValueError(`URL scheme must be http, https, unix, or unixs: ${text}`);
  }
  const [, authority = '', path = ''] = /^https?:(?:\/\/)?([^/?#]*)(.*)$/.exec(text) ?? [];
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(authority) ?? [];
  if (portText === undefined) throw new FlagValueError(`URL address does not have the form "host:port": ${text}`);
  if (!/^\d*$/.test(portText) || Number(portText) > 65_535) {
    throw new FlagValueError(`parse "${text}": invalid port ":${portText}" after host`);
  }
  if (path !== '') throw new FlagValueError(`URL must not contain a path: ${text}`);
  return { text, scheme, host: bracketed ?? plain ?? '', port: Number(portText) };
}

/** The order of Go's sort.Strings. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
