/** The members of the cluster that a restored one belongs to, as `--initial-cluster` names them; checked as etcd checks them. */
import { KvError } from '@quorate/proto';
import type { InitialMember } from '../config.ts';
import { checkedPeerUrls } from '../peer-urls.ts';
import { StartError } from '../start-error.ts';

/** What the flags say of the new cluster, as text. */
export interface FoundingFlags {
  /** `--name` */
  readonly name: string;
  /** `--initial-cluster` */
  readonly initialCluster: string;
  /** `--initial-advertise-peer-urls` */
  readonly advertisePeerUrls: string;
}

/** All founding members, the one of this name among them. Throws StartError. */
export function foundingMembers(flags: FoundingFlags): readonly InitialMember[] {
  const members = parseMembers(flags.initialCluster);
  const own = members.find(({ name }) => name === flags.name);
  if (own === undefined) {
    throw new StartError(`couldn't find local name "${flags.name}" in the initial cluster configuration`);
  }
  const urls = members.flatMap(({ peerUrls }) => peerUrls);
  if (new Set(urls).size !== urls.length)
    throw new StartError(`initial cluster ${flags.initialCluster} has duplicate url`);
  const advertised = parseUrls(flags.advertisePeerUrls, '--initial-advertise-peer-urls').join(',');
  if (advertised !== own.peerUrls.join(',')) {
    const named = own.peerUrls.map((url) => `${own.name}=${url}`).join(',');
    throw new StartError(`--initial-cluster has ${named} but --initial-advertise-peer-urls=${advertised}`);
  }
  return members;
}

/** A name given more than once has more than one URL. */
function parseMembers(text: string): InitialMember[] {
  const urlsOf = new Map<string, string[]>();
  for (const part of text.split(',')) {
    const [, name, url] = /^([^=]*)=(.*)$/.exec(part) ?? [];
    if (name === undefined || url === undefined) {
      throw new StartError(`--initial-cluster is a list of name=http://host:port with commas, not "${text}"`);
    }
    urlsOf.set(name.trim(), [...(urlsOf.get(name.trim()) ?? []), url]);
  }
  return [...urlsOf].map(([name, urls]) => ({ name, peerUrls: parseUrls(urls.join(','), '--initial-cluster') }));
}

/** Sorted, each once: ids are made of them in this form. */
function parseUrls(text: string, flag: string): string[] {
  try {
    return checkedPeerUrls([...new Set(text.split(',').map((url) => url.trim()))]);
  } catch (error) {
    if (error instanceof KvError)
      throw new StartError(`${flag}: "${text}" is not a list of URLs like http://host:port`);
    throw error;
  }
}
