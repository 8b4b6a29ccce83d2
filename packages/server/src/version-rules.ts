/**
 * Versions of servers and of the cluster: how they are written, and which one the cluster is to run as. The rules are etcd's
 * (server/etcdserver/version/monitor.go and downgrade.go of 3.6). A cluster's version has no patch level: `3.6.0` stands for 3.6.x.
 */
import { type DowngradeInfo, KvError } from '@quorate/proto';

interface Version {
  readonly major: number;
  readonly minor: number;
}

const semantic = /^([0-9]+)\.([0-9]+)\.[0-9]+(?:-[0-9A-Za-z.-]*)?(?:\+[0-9A-Za-z.-]*)?$/;

/** `3.6.0` of `3.6.14`; undefined for what is no version. */
export function clusterVersionOf(serverVersion: string): string | undefined {
  const version = parse(serverVersion);
  return version === undefined ? undefined : textOf(version);
}

/** `3.6` of `3.6.0`, as answers and metrics have it. */
export function shortVersion(clusterVersion: string): string {
  return clusterVersion.split('.').slice(0, 2).join('.');
}

/** The cluster version that a caller means with `3.5`, `3.5.0` or `3.5.7`. Throws KvError wrongDowngradeVersionFormat. */
export function downgradeTarget(text: string): string {
  const version = parse(text) ?? parse(`${text}.0`);
  if (version === undefined) throw new KvError('wrongDowngradeVersionFormat');
  return textOf(version);
}

/** Throws KvError invalidDowngradeTargetVersion unless `target` is one minor version below the cluster's, downgradeInProcess. */
export function checkDowngrade(target: string, cluster: string, running: DowngradeInfo): void {
  const from = mustParse(cluster);
  if (target !== textOf({ major: from.major, minor: from.minor - 1 }))
    throw new KvError('invalidDowngradeTargetVersion');
  if (running.enabled) throw new KvError('downgradeInProcess');
}

/** What the members have agreed on, and what they are. */
export interface VersionFacts {
  /** The cluster's version; undefined before the first decision. */
  readonly cluster: string | undefined;
  readonly downgrade: DowngradeInfo;
  /** Of every member's server; undefined for one that has not said it to this member. */
  readonly servers: readonly (string | undefined)[];
}

/**
 * The version the cluster is to have from now on; undefined when it stays. The first one is the lowest of those known. Later it rises
 * to the lowest of all members, once all are known, and falls only to the target of a downgrade.
 */
export function decideClusterVersion({ cluster, downgrade, servers }: VersionFacts): string | undefined {
  const known = servers.map((server) => (server === undefined ? undefined : parse(server)));
  const lowest = known.filter((version) => version !== undefined).sort(compare)[0];
  if (lowest === undefined) return undefined;
  if (cluster === undefined) return textOf(lowest);
  if (downgrade.enabled) return downgrade.targetVersion === cluster ? undefined : downgrade.targetVersion;
  if (known.includes(undefined)) return undefined;
  const now = mustParse(cluster);
  return now.major === lowest.major && compare(now, lowest) < 0 ? textOf(lowest) : undefined;
}

/** Whether every member runs the version that the cluster was downgraded to: then the downgrade is over. */
export function isDowngraded({ downgrade, servers }: VersionFacts): boolean {
  return (
    downgrade.enabled &&
    servers.every((server) => server !== undefined && clusterVersionOf(server) === downgrade.targetVersion)
  );
}

function parse(text: string): Version | undefined {
  const [, major, minor] = semantic.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

function mustParse(clusterVersion: string): Version {
  const version = parse(clusterVersion);
  if (version === undefined) throw new KvError('clusterVersionUnavailable');
  return version;
}

function textOf({ major, minor }: Version): string {
  return `${major}.${minor}.0`;
}

function compare(a: Version, b: Version): number {
  return a.major - b.major || a.minor - b.minor;
}
