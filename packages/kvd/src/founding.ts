/**
 * The checks etcd makes of `--initial-cluster` before a member without data starts: this member is in it, when it founds the
 * cluster with the peer URLs it advertises, and no two URLs are the same.
 */
import type { DaemonConfig } from './config.ts';
import { compareText, parseUrl } from './flags/urls.ts';
import { ConfigError } from './initial-cluster.ts';

/** Addresses of a host name; rejects when there are none. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/** What must hold when a member without data is started. Throws ConfigError. */
export async function checkFounding(config: DaemonConfig, resolve: ResolveHost): Promise<void> {
  const { name, initialCluster, initialClusterState } = config.member;
  const own = initialCluster.find((member) => member.name === name);
  if (own === undefined) {
    throw new ConfigError(`couldn't find local name "${name}" in the initial cluster configuration`);
  }
  // A member that joins has announced its URLs to the cluster before.
  if (initialClusterState === 'new') await checkAdvertised(name, config.advertisePeerUrls, own.peerUrls, resolve);
  const all = initialCluster.flatMap((member) => member.peerUrls);
  if (new Set(all).size !== all.length) {
    const pairs = initialCluster.flatMap((member) => member.peerUrls.map((url) => `${member.name}=${url}`));
    throw new ConfigError(`initial cluster ${pairs.sort(compareText).join(',')} has duplicate url`);
  }
}

async function checkAdvertised(
  name: string,
  advertised: readonly string[],
  founding: readonly string[],
  resolve: ResolveHost,
): Promise<void> {
  const missing = founding.filter((url) => !advertised.includes(url));
  const extra = advertised.filter((url) => !founding.includes(url));
  if (missing.length === 0 && extra.length === 0) return;
  const resolvedAdvertised = await resolveAll(advertised, resolve);
  const resolvedFounding = await resolveAll(founding, resolve);
  if (resolvedAdvertised === resolvedFounding) return;
  if (missing.length > 0) {
    const names = missing.map((url) => `${name}=${url}`).join(',');
    throw new ConfigError(
      `--initial-cluster has ${names} but missing from --initial-advertise-peer-urls=${advertised.join(',')} ` +
        `(resolved urls: ${resolvedAdvertised} != ${resolvedFounding})`,
    );
  }
  const pairs = advertised.map((url) => `${name}=${url}`).join(',');
  throw new ConfigError(
    `--initial-advertise-peer-urls has ${extra.join(',')} but missing from --initial-cluster=${pairs}`,
  );
}

/** The URLs with their hosts resolved, in a form to compare and to print; a host without an address stands for itself. */
async function resolveAll(urls: readonly string[], resolve: ResolveHost): Promise<string> {
  const resolved = await Promise.all(
    urls.map(async (text) => {
      const { scheme, host, port } = parseUrl(text);
      const addresses = await resolve(host).catch(() => [host]);
      return `${scheme}://${[...addresses].sort(compareText)[0] ?? host}:${port}`;
    }),
  );
  return resolved
    .sort(compareText)
    .map((url) => `"${url}"`)
    .join(' ');
}
