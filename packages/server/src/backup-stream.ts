/**
 * Maintenance.Snapshot: a backup of this member's state as a stream. What travels is the snapshot stream of snapshot-codec.ts in
 * the envelope that etcd's tools check: zeros up to a multiple of 512 bytes, then the SHA-256 of everything before it.
 */
import { createHash, type Hash } from 'node:crypto';
import { readConsistentIndex } from '@quorate/apply';
import type { Backend } from '@quorate/backend';
import type { ClusterId } from '@quorate/base';
import { ConfState, Header, KvError, SnapshotResponse } from '@quorate/proto';
import type { ServerCall, ServerStream } from '@quorate/rpc';
import { type Checksum, encodeSnapshot } from './snapshot-codec.ts';
import { soundView } from './sound-view.ts';

/** Largest blob of one message, as etcd's. */
const blobBytesMax = 32 * 1024;
/** Tools tell a file with a checksum from one without by its length: 32 bytes above a multiple of this. */
const alignment = 512;
const formatVersion = 1;

export interface BackupOptions {
  readonly clusterId: ClusterId;
  readonly checksum: Checksum;
  /** What the messages give as the version of the stored schema. */
  readonly storageVersion: string;
  /** The live store; throws KvError while a received snapshot takes its place, and after the member stopped. */
  readonly backend: () => Backend;
  /** Lets other work run between two slices. */
  readonly pause: () => Promise<void>;
  /** Told of damage in the state that is sent. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * Sends the state as it is now, at the caller's pace; writes go on meanwhile. The view of the store is released when the stream
 * ends, however it ends. Never rejects: a failure ends the stream without the checksum, so that no tool takes it for whole.
 */
export async function sendBackup(
  options: BackupOptions,
  call: ServerCall,
  stream: ServerStream<SnapshotResponse>,
): Promise<void> {
  const pace = new Pace(call, stream);
  let backend: Backend | undefined;
  try {
    backend = options.backend();
    if (await sendState(options, backend, pace)) stream.end();
  } catch (error) {
    stream.fail(isStillLive(options, backend) ? error : new KvError('stopped'));
  }
}

/** Returns whether everything was sent; false when the caller went away. */
async function sendState(options: BackupOptions, backend: Backend, pace: Pace): Promise<boolean> {
  const { clusterId, checksum, storageVersion, pause } = options;
  const view = soundView(await backend.openView(), options);
  try {
    const { index, term, confState } = readConsistentIndex(view);
    const header = Header.create({
      format: formatVersion,
      clusterId,
      index,
      term,
      confState: ConfState.encode(confState),
    });
    const file = new BackupFile(pace, storageVersion, backend.sizeInUseBytes());
    for await (const frame of encodeSnapshot(view, header, checksum, pause)) {
      if (!(await file.append(frame))) return false;
    }
    return await file.finish();
  } finally {
    view.close();
  }
}

/** The file that the caller writes: counts and hashes what goes into it. */
class BackupFile {
  readonly #pace: Pace;
  readonly #version: string;
  readonly #expectedBytes: number;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  constructor(pace: Pace, version: string, expectedBytes: number) {
    this.#pace = pace;
    this.#version = version;
    this.#expectedBytes = expectedBytes;
  }

  /** Sends `bytes` in messages of the allowed size; false when the caller went away. */
  async append(bytes: Buffer): Promise<boolean> {
    this.#hash.update(bytes);
    for (let at = 0; at < bytes.length; at += blobBytesMax) {
      const blob = bytes.subarray(at, at + blobBytesMax);
      this.#bytes += blob.length;
      // The length of a stream made on the way is not known before its end; only the last message says that nothing remains.
      const remainingBytes = Math.max(1, this.#expectedBytes - this.#bytes);
      if (!(await this.#pace.send(SnapshotResponse.create({ blob, remainingBytes, version: this.#version }))))
        return false;
    }
    return true;
  }

  async finish(): Promise<boolean> {
    const padding = (alignment - (this.#bytes % alignment)) % alignment;
    if (!(await this.append(Buffer.alloc(padding)))) return false;
    return this.#pace.send(SnapshotResponse.create({ blob: this.#hash.digest(), version: this.#version }));
  }
}

/** Sends no faster than the caller takes. */
class Pace {
  readonly #call: ServerCall;
  readonly #stream: ServerStream<SnapshotResponse>;
  #resume: () => void = () => undefined;

  constructor(call: ServerCall, stream: ServerStream<SnapshotResponse>) {
    this.#call = call;
    this.#stream = stream;
    stream.onDrain(() => this.#resume());
    call.onCancel(() => this.#resume());
  }

  /** Resolves when the next message may follow; false when there is nobody to send it to. */
  async send(response: SnapshotResponse): Promise<boolean> {
    if (this.#call.cancelled) return false;
    if (!this.#stream.send(response)) {
      // A send also answers false for a call that is over, and then neither callback comes any more.
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
        if (this.#call.cancelled) resolve();
      });
    }
    return !this.#call.cancelled;
  }
}

/** False once another store took the place of the one being read, or the member stopped: reading on failed because of that. */
function isStillLive({ backend }: BackupOptions, read: Backend | undefined): boolean {
  try {
    return backend() === read;
  } catch {
    return false;
  }
}
