/** `--initial-cluster`: the founding members, written as `a=http://…,b=http://…`. */
import type { InitialMember } from '@quorate/server';
import { FlagValueError } from './flags/go-values.ts';
import { type HostUrl, parseUrl, parseUrls } from './flags/urls.ts';

/** Settings that contradict each other or cannot be; the message is etcd's. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

/** `a=url1,a=url2` for member `a`. */
export function clusterOf(name: string, urls: readonly HostUrl[]): string {
  return urls.map((url) => `${name}=${url.text}`).join(',');
}

/** Reads `a=http://…,b=http://…`; a name given more than once has more than one URL. Throws ConfigError. */
export function parseInitialCluster(text: string): readonly InitialMember[] {
  const urlsOf = new Map<string, string[]>();
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    const name = equals === -1 ? part : part.slice(0, equals);
    const url = equals === -1 ? '' : part.slice(equals + 1);
    urlsOf.set(name, [...(urlsOf.get(name) ?? []), url]);
  }
  try {
    return [...urlsOf].map(([name, urls]) => ({
      name,
      peerUrls: urls.includes('') ? [parseUrl('').text] : parseUrls(urls.join(',')).map((url) => url.text),
    }));
  } catch (error) {
    if (error instanceof FlagValueError) throw new ConfigError(`error setting up initial cluster: ${error.message}`);
    throw error;
  }
}
