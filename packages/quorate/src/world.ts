/** What an embedded member stands on: this machine's disk, or memory that is gone with the process. */
import { resolve } from 'node:path';
import { MemoryBackendFactory } from '@quorate/backend';
import { type Logger, MemoryDisk, type Meter, noCrashPoints } from '@quorate/base';
import { acquireDataDir, type DataDir, nodeClock, nodeRandom, nodeRuntime } from '@quorate/runtime';
import { etcdVersion, GrpcPeerTransport, type PeerTransport, type Runtime, type StartError } from '@quorate/server';
import { crc32c } from '@quorate/wal';
import { loneTransport } from './lone-transport.ts';
import { listenPeerUrlsOf, type OpenOptions } from './options.ts';

export interface WorldOptions {
  readonly logger: Logger;
  readonly meter: Meter;
  readonly onExpelled: (error: StartError) => void;
  readonly onFatal: (error: unknown) => void;
}

export interface World {
  readonly runtime: Runtime;
  /** Gives the directory back. */
  release(): Promise<void>;
}

/** Takes the directory, if there is one, and binds the peer URLs. Rejects with StorageError and StartError. */
export async function makeWorld(options: OpenOptions, world: WorldOptions): Promise<World> {
  if (options.inMemory === true) {
    const peers = await peersOf(options, world);
    return { runtime: memoryRuntime(peers, world), release: () => Promise.resolve() };
  }
  const directory = await acquireDataDir(resolve(options.dataDir), nodeClock);
  try {
    return await onDisk(options, world, directory);
  } catch (error) {
    await directory.release();
    throw error;
  }
}

async function onDisk(options: OpenOptions, world: WorldOptions, directory: DataDir): Promise<World> {
  const peers = await peersOf(options, world);
  const runtime = nodeRuntime({ ...world, dataDir: directory.path, walDir: undefined, peers, crash: noCrashPoints });
  return { runtime, release: () => directory.release() };
}

function memoryRuntime(peers: PeerTransport, world: WorldOptions): Runtime {
  return {
    ...world,
    clock: nodeClock,
    random: nodeRandom,
    disk: new MemoryDisk(),
    backends: new MemoryBackendFactory(),
    peers,
    crash: noCrashPoints,
    checksum: crc32c,
  };
}

async function peersOf(options: OpenOptions, { logger, meter }: WorldOptions): Promise<PeerTransport> {
  if (options.cluster === undefined) return loneTransport();
  const listenUrls = listenPeerUrlsOf(options);
  const peers = new GrpcPeerTransport({ listenUrls, clock: nodeClock, logger, meter, version: etcdVersion });
  await peers.listen();
  return peers;
}
