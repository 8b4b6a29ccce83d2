/**
 * A data directory has one owner. lmdb would let two processes write the same store, so ownership is taken here, first thing:
 *
 *   abstract socket   named by the hash of the directory's real path. The kernel frees it when its owner dies, however it dies,
 *                     and refuses a second one: no stale locks. Valid within one network namespace.
 *   lock file         who owns it, for people, and for processes in another network namespace on the same machine: boot id,
 *                     process id and the start time of that process, so that a number used again is not taken for the owner.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type Clock, StorageError, sleep } from '@quorate/base';

/** Name of the lock file in the data directory. */
export const lockFileName = 'lock';

/** How long a second process waits for the first to go, and how often it looks. */
const patienceMs = 1_000;
const retryMs = 50;

/** An owned data directory. */
export interface DataDir {
  /** Its real path: absolute, without symbolic links. */
  readonly path: string;
  /** Others than the owner may read or write it (mode bits), which an operator should know. */
  readonly isOpenToOthers: boolean;
  /** Gives the directory back. */
  release(): Promise<void>;
}

/**
 * Takes the directory for this process, creating it with mode 0700 if need be. Throws StorageError when another process has it
 * and does not let go within a second, or when it cannot be made.
 */
export async function acquireDataDir(path: string, clock: Clock): Promise<DataDir> {
  const real = await makeDirectory(path);
  const giveUpMs = clock.nowMs() + patienceMs;
  for (;;) {
    const socket = await bindName(real);
    if (socket !== undefined) {
      const owner = await livingOwner(real);
      if (owner === undefined) return own(real, socket);
      await closeServer(socket);
    }
    if (clock.nowMs() >= giveUpMs) throw inUse(real, await readOwner(real));
    await sleep(clock, retryMs);
  }
}

/** As {@link acquireDataDir}, of a directory that is there: nothing is made. Throws StorageError when it is not. */
export async function acquireExistingDataDir(path: string, clock: Clock): Promise<DataDir> {
  await mustExist(path);
  return acquireDataDir(path, clock);
}

async function mustExist(path: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) return;
  } catch (error) {
    throw new StorageError('data-dir', 'open', 'there is no such directory', { path }, error);
  }
  throw new StorageError('data-dir', 'open', 'not a directory', { path });
}

interface Owner {
  readonly pid: number;
  readonly bootId: string;
  /** Clock ticks between boot and the start of the process: `/proc/<pid>/stat`, field 22. */
  readonly startTicks: string;
}

async function makeDirectory(path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const real = await realpath(path);
    if (!(await stat(real)).isDirectory()) throw new Error('not a directory');
    return real;
  } catch (error) {
    throw new StorageError('data-dir', 'open', reasonOf(error), { path }, error);
  }
}

/** The socket that stands for ownership; undefined when somebody has it. */
function bindName(real: string): Promise<Server | undefined> {
  const name = `\0quorate-${createHash('sha256').update(real).digest('hex')}`;
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.unref();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(new StorageError('data-dir', 'lock', error.message, { path: real }, error));
    });
    server.listen({ path: name }, () => resolve(server));
  });
}

async function own(real: string, socket: Server): Promise<DataDir> {
  const file = join(real, lockFileName);
  try {
    await writeOwner(file, await describeProcess(process.pid));
    const { mode } = await stat(real);
    return {
      path: real,
      isOpenToOthers: (mode & 0o077) !== 0,
      release: async () => {
        await rm(file, { force: true });
        await closeServer(socket);
      },
    };
  } catch (error) {
    await closeServer(socket);
    throw new StorageError('data-dir', 'lock', reasonOf(error), { path: real }, error);
  }
}

/** Written aside and renamed, so that nobody ever reads half of it. */
async function writeOwner(file: string, owner: Owner | undefined): Promise<void> {
  const aside = `${file}.tmp`;
  let handle: FileHandle | undefined;
  try {
    handle = await open(aside, 'w', 0o600);
    await handle.writeFile(`${JSON.stringify(owner ?? { pid: process.pid })}\n`);
  } finally {
    await handle?.close();
  }
  await rename(aside, file);
}

/** The owner named in the lock file, if it is a process that still runs and is not this one. */
async function livingOwner(real: string): Promise<Owner | undefined> {
  const owner = await readOwner(real);
  if (owner === undefined || owner.pid === process.pid) return undefined;
  const living = await describeProcess(owner.pid);
  const isSame = living?.bootId === owner.bootId && living.startTicks === owner.startTicks;
  return isSame ? owner : undefined;
}

async function readOwner(real: string): Promise<Owner | undefined> {
  try {
    const owner: unknown = JSON.parse(await readFile(join(real, lockFileName), 'utf8'));
    return isOwner(owner) ? owner : undefined;
  } catch {
    // No file, or one that is no lock of ours: it says nothing about an owner, the socket does.
    return undefined;
  }
}

function isOwner(value: unknown): value is Owner {
  const owner = value as Partial<Owner> | null;
  return typeof owner?.pid === 'number' && typeof owner.bootId === 'string' && typeof owner.startTicks === 'string';
}

/** Undefined when there is no such process, or no /proc to ask. */
async function describeProcess(pid: number): Promise<Owner | undefined> {
  try {
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const line = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold spaces; the third follows the last parenthesis.
    const startTicks = line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
    return startTicks === undefined ? undefined : { pid, bootId, startTicks };
  } catch {
    // Not there.
    return undefined;
  }
}

function inUse(real: string, owner: Owner | undefined): StorageError {
  const who = owner === undefined ? 'another process' : `process ${owner.pid}`;
  return new StorageError('data-dir', 'lock', `the data directory is in use by ${who}; each member needs its own`, {
    path: real,
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
