/** Peer URLs as clients give them when they add or move a member: checked as etcd checks them (client/pkg/types/urls.go). */
import { KvError } from '@quorate/proto';

/** Scheme, host and port, and nothing behind it. */
const peerUrl = /^https?:\/\/(?:\[[0-9A-Fa-f:.%]+\]|[^[\]/?#@:\s]+):(\d{1,5})$/;
const portMax = 65_535;

/** The URLs, sorted. Throws KvError memberBadUrls for none, and for one that no member could be reached at. */
export function checkedPeerUrls(urls: readonly string[]): string[] {
  const trimmed = urls.map((url) => url.trim().replace(/^https?:/i, (scheme) => scheme.toLowerCase()));
  if (trimmed.length === 0 || !trimmed.every(isPeerUrl)) throw new KvError('memberBadUrls');
  return trimmed.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function isPeerUrl(url: string): boolean {
  const port = peerUrl.exec(url)?.[1];
  return port !== undefined && Number(port) <= portMax;
}
