import { expect, test } from 'vitest';
import { flagName, flagTable } from './flag-table.ts';
import { helpText, versionText } from './usage.ts';

test('the help names every flag once, with its default', () => {
  const help = helpText();
  for (const [field, spec] of Object.entries(flagTable)) {
    expect(help.split(`  --${flagName(field)} '${spec.default}'\n`)).toHaveLength(2);
  }
});

test('the help keeps to the groups of etcd', () => {
  const titles = [...helpText().matchAll(/^(\w+):$/gm)].map((match) => match[1]);
  expect(titles).toEqual(['Usage', 'Member', 'Clustering', 'Security', 'Monitoring', 'Logging', 'Tuning']);
});

test('the version tells kvd, etcd, Node.js and the platform', () => {
  expect(versionText({ kvd: '1.2.3', etcd: '3.6.14' }).split('\n')).toEqual([
    'kvd Version: 1.2.3',
    'etcd Version: 3.6.14 (API)',
    `Node.js Version: ${process.version}`,
    `OS/Arch: ${process.platform}/${process.arch}`,
    '',
  ]);
});
