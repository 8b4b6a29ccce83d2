/** What `kvd --help` and `kvd --version` print. */
import type { FlagSpec } from './flag-kinds.ts';
import { type FlagValues, flagName, flagTable } from './flag-table.ts';

const groups: readonly FlagSpec<unknown>['group'][] = [
  'Member',
  'Clustering',
  'Security',
  'Monitoring',
  'Logging',
  'Tuning',
];

/** Shown after a mistake on the command line. */
export const usageLine: string = `Usage:

  kvd [flags]
    Start a member.

  kvd --version
    Show the version of kvd.

  kvd -h | --help
    Show the help information about kvd.

  kvd --config-file
    Path to a JSON file of settings. Other command line flags and environment variables are ignored with it.
`;

/** Every flag by group, with its default. */
export function helpText(): string {
  const sections = groups.map((group) => {
    const specs = Object.entries(flagTable) as [keyof FlagValues, FlagSpec<unknown>][];
    const lines = specs
      .filter(([, spec]) => spec.group === group)
      .map(([field, spec]) => `  --${flagName(field)} '${spec.default}'\n    ${spec.help}\n`);
    return `${group}:\n${lines.join('')}`;
  });
  const notes = 'Every flag can be set in the environment instead: --data-dir as KVD_DATA_DIR.\n';
  return `${usageLine}\n${sections.join('\n')}\n${notes}`;
}

export interface Versions {
  readonly kvd: string;
  /** The etcd whose API and behaviour are followed. */
  readonly etcd: string;
}

export function versionText(versions: Versions): string {
  return [
    `kvd Version: ${versions.kvd}`,
    `etcd Version: ${versions.etcd} (API)`,
    `Node.js Version: ${process.version}`,
    `OS/Arch: ${process.platform}/${process.arch}`,
    '',
  ].join('\n');
}
