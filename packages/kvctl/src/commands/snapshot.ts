/**
 * `snapshot save`, `status` and `restore`: a backup of one member, what is in it, and a data directory made of it. What works on files
 * alone is loaded when it is used: it brings the store with it.
 */
import { formatId, silentLogger } from '@quorate/base';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, numberFlag, stringFlag } from '../flags.ts';
import { untilInterrupted } from '../interrupt.ts';
import type { Terminal } from '../io.ts';
import { chosenFormat, withSession } from '../session.ts';
import { saveSnapshot } from '../snapshot-file.ts';
import { type ByteString, fromText, toText } from '../text/bytes.ts';
import { groupCommand, type Invocation, leafCommand } from './context.ts';

export function snapshotCommand(terminal: Terminal): Command {
  return groupCommand('snapshot', 'Manages backups of the store', [
    saveCommand(terminal),
    statusCommand(terminal),
    restoreCommand(terminal),
  ]);
}

function saveCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'save',
    usage: '<filename>',
    summary: 'Stores a backup of one member in a file',
    more: 'Takes as long as it takes, unless --command-timeout is given. A file that is there is not overwritten.\n',
    run: async ({ args, command }) => {
      const path = oneFile(args, 'snapshot save expects one argument');
      const isTimed = command.getOptionValueSourceWithGlobals('commandTimeout') !== 'default';
      await withSession({ terminal, command }, async ({ client, call }) => {
        const [endpoint, ...more] = client.endpoints;
        if (endpoint === undefined || more.length > 0) {
          const list = fromText(client.endpoints.join(' '));
          throw new ExitError(
            Exit.interrupted,
            `snapshot must be requested to one selected node, not multiple [${list}]`,
          );
        }
        // The stream has no deadline, so whether anybody is there is asked before.
        await client.maintenance.status(endpoint, call);
        const saved = await untilInterrupted(terminal, (signal) =>
          orInterrupted(
            saveSnapshot(path, () => client.maintenance.snapshot({ ...(isTimed ? call : {}), endpoint, signal })),
          ),
        );
        terminal.out(`Snapshot saved at ${fromText(path)}\n`);
        if (saved.version !== '') terminal.out(`Server version ${fromText(saved.version)}\n`);
      });
    },
  });
}

/** Whatever kept a file from being written ends the command as it ends etcdctl's. */
async function orInterrupted<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof Error && error.constructor === Error
      ? new ExitError(Exit.interrupted, fromText(error.message))
      : error;
  }
}

function statusCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'status',
    usage: '<filename>',
    summary: 'Checks a backup file and prints what is in it',
    more: 'With -w simple the columns are: hash, revision, total keys, total size, storage version.\n',
    run: async ({ args, command }) => {
      const path = oneFile(args, 'snapshot status requires exactly one argument');
      const show = chosenFormat({ terminal, command }).show('snapshotStatus');
      const { backupFileStatus } = await import('@quorate/runtime');
      show(await backupFileStatus(path));
    },
  });
}

interface RestoreFlags {
  readonly dataDir: ByteString;
  readonly walDir: ByteString;
  readonly name: ByteString;
  readonly initialCluster: ByteString;
  readonly initialClusterToken: ByteString;
  readonly initialAdvertisePeerUrls: ByteString;
  readonly skipHashCheck: boolean;
  readonly bumpRevision: number;
  readonly markCompacted: boolean;
}

function restoreCommand(terminal: Terminal): Command {
  return leafCommand<RestoreFlags>(terminal, {
    name: 'restore',
    usage: '<filename> --data-dir <directory>',
    summary: 'Makes the data directory of a member of a new cluster from a backup file',
    flags: addRestoreFlags,
    more: `Each member of the new cluster restores the same file, with its own --name, --initial-advertise-peer-urls and --data-dir,
and the same --initial-cluster and --initial-cluster-token. The directory must be absent or empty.
`,
    run: (invocation) => restore(invocation),
  });
}

function addRestoreFlags(command: Command): void {
  const text = (name: string, argument: string, value: string, help: string): void =>
    stringFlag(command, { name, argument, value, help });
  text('data-dir', 'directory', '', 'the new data directory');
  text('wal-dir', 'directory', '', 'the new directory of the write-ahead log, if it is not in the data directory');
  text('name', 'name', 'default', 'name of this member');
  text('initial-cluster', 'list', 'default=http://localhost:2380', 'the members of the new cluster');
  text('initial-cluster-token', 'token', 'etcd-cluster', 'goes into the ids of the new cluster');
  text('initial-advertise-peer-urls', 'urls', 'http://localhost:2380', 'where the peers reach this member');
  booleanFlag(command, {
    name: 'skip-hash-check',
    help: 'take a file without a SHA-256, or with one that does not fit',
  });
  numberFlag(command, { name: 'bump-revision', argument: 'count', help: 'raise the revision by this much' });
  booleanFlag(command, {
    name: 'mark-compacted',
    help: 'count everything below the raised revision as compacted; needed with --bump-revision, and only there',
  });
}

async function restore({ args, flags, command, terminal }: Invocation<RestoreFlags>): Promise<void> {
  const file = oneFile(args, 'snapshot restore requires exactly one argument');
  chosenFormat({ terminal, command });
  if (flags.dataDir === '') throw new ExitError(Exit.error, 'required flag(s) "data-dir" not set');
  if (flags.bumpRevision < 0) throw new ExitError(Exit.error, '--bump-revision must not be negative');
  if (flags.bumpRevision > 0 !== flags.markCompacted) {
    throw new ExitError(Exit.badArgs, '--mark-compacted required if --revision-bump > 0');
  }
  const { restoreDataDir } = await import('@quorate/runtime');
  const { memberId, clusterId, revision } = await restoreDataDir({
    file,
    dataDir: toText(flags.dataDir),
    walDir: flags.walDir === '' ? undefined : toText(flags.walDir),
    name: toText(flags.name),
    initialCluster: toText(flags.initialCluster),
    clusterToken: toText(flags.initialClusterToken),
    advertisePeerUrls: toText(flags.initialAdvertisePeerUrls),
    skipHashCheck: flags.skipHashCheck,
    bumpRevision: flags.bumpRevision,
    logger: silentLogger,
  });
  terminal.out(
    `Restored member ${formatId(memberId)} of cluster ${formatId(clusterId)} to ${flags.dataDir}, at revision ${revision}\n`,
  );
}

function oneFile(args: readonly ByteString[], complaint: string): string {
  const [path, ...more] = args;
  if (path === undefined || more.length > 0) throw new ExitError(Exit.badArgs, complaint);
  return toText(path);
}
