/** The static table of HPACK (RFC 7541, Appendix A). Entry 1 of the RFC is at index 1; index 0 is never used. */
import { HeaderField } from './header-field.ts';

const entries: readonly (readonly [name: string, value?: string])[] = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language'],
  ['accept-ranges'],
  ['accept'],
  ['access-control-allow-origin'],
  ['age'],
  ['allow'],
  ['authorization'],
  ['cache-control'],
  ['content-disposition'],
  ['content-encoding'],
  ['content-language'],
  ['content-length'],
  ['content-location'],
  ['content-range'],
  ['content-type'],
  ['cookie'],
  ['date'],
  ['etag'],
  ['expect'],
  ['expires'],
  ['from'],
  ['host'],
  ['if-match'],
  ['if-modified-since'],
  ['if-none-match'],
  ['if-range'],
  ['if-unmodified-since'],
  ['last-modified'],
  ['link'],
  ['location'],
  ['max-forwards'],
  ['proxy-authenticate'],
  ['proxy-authorization'],
  ['range'],
  ['referer'],
  ['refresh'],
  ['retry-after'],
  ['server'],
  ['set-cookie'],
  ['strict-transport-security'],
  ['transfer-encoding'],
  ['user-agent'],
  ['vary'],
  ['via'],
  ['www-authenticate'],
];

/** Fields by index; index 0 holds a field that is never looked up. */
export const staticTable: readonly HeaderField[] = [
  new HeaderField('', ''),
  ...entries.map(([name, value]) => new HeaderField(name, value ?? '')),
];

/** Index of the last static entry; dynamic ones follow. */
export const staticEntryMax: number = entries.length;

/** Index of the first entry with `name`; undefined when there is none. */
export function staticNameIndex(name: string): number | undefined {
  return nameIndices.get(name);
}

const nameIndices: ReadonlyMap<string, number> = new Map(
  entries.map(([name], i): [string, number] => [name, i + 1]).reverse(),
);
