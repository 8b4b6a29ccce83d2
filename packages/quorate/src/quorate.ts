/**
 * The embedded library: a member of a cluster, or one alone, in this process. Its API is the client library's, without a socket
 * between: what holds for kvd holds here, an acknowledged write is on the disks of a majority.
 */
import { type Clock, noMember, silentLogger, silentMeter } from '@quorate/base';
import {
  type Bytes,
  Cluster,
  Kv,
  Lease,
  Maintenance,
  Namespace,
  RpcError,
  type Space,
  type Stubs,
  stubsOf,
  type Watcher,
  WatchHub,
  type WatchOptions,
} from '@quorate/client';
import { Status } from '@quorate/proto';
import { instrument, LeaderMonitor, learnerGuard, type ServiceMethod } from '@quorate/rpc';
import { Member, memberServices } from '@quorate/server';
import { Listener } from './listener.ts';
import { LocalCaller } from './local-caller.ts';
import { memberConfigOf, type OpenOptions } from './options.ts';
import { makeWorld, type World } from './world.ts';

/**
 * Opens a member in this process. Resolves when it takes part in its cluster and the cluster knows it; for one alone that means
 * it can be written to. Rejects with StorageError (the directory is in use, or cannot be read or written), StartError (the
 * cluster does not want it as it is), CorruptionError (the files contradict themselves; nothing was changed), ListenError.
 */
export async function open(options: OpenOptions): Promise<Quorate> {
  const config = memberConfigOf(options);
  const { logger = silentLogger, meter = silentMeter } = options;
  const failure = new Failure(options.onFatal);
  const onFatal = (error: unknown): void => failure.set(error);
  const world = await makeWorld(options, { logger, meter, onFatal, onExpelled: onFatal });
  const { clock } = world.runtime;
  const listener = new Listener({ clock, logger, maxRequestBytes: config.maxRequestBytes });
  try {
    await listener.bind(options.listenClientUrls ?? []);
    const member = await Member.start(config, world.runtime);
    const monitor = new LeaderMonitor({
      clock,
      electionMs: config.electionMs,
      hasLeader: () => member.leadership.leader !== noMember,
    });
    monitor.start();
    const guards = [learnerGuard(() => member.isLearner), monitor.guard];
    const methods = instrument(memberServices(member), { meter, guards, keepers: [monitor] });
    const opened = new Quorate({ world, member, listener, methods, stopMonitor: () => monitor.stop() });
    failure.onSet((error) => opened.fail(error));
    await member.published();
    listener.serve(methods);
    return opened;
  } catch (error) {
    await listener.close();
    await world.release();
    throw error;
  }
}

interface Parts {
  readonly world: World;
  readonly member: Member;
  readonly listener: Listener;
  readonly methods: readonly ServiceMethod[];
  readonly stopMonitor: () => void;
}

/**
 * An open member. Keys and values are strings (UTF-8) or bytes; bytes that were given may be changed once the call was made,
 * bytes that were received must not be: watchers of the same key share them.
 */
export class Quorate implements Space {
  /** Keys: get, put, delete, transactions, compaction. */
  readonly kv: Kv;
  readonly lease: Lease;
  readonly cluster: Cluster;
  readonly maintenance: Maintenance;
  /** Every unary method of every service: `db.rpc.lease.leaseGrant({ ttl: 10 })`. */
  readonly rpc: Stubs;
  readonly clock: Clock;
  readonly #parts: Parts;
  readonly #caller: LocalCaller;
  readonly #watches: WatchHub;
  #closing: Promise<void> | undefined;
  #failed = false;

  /** @internal Use {@link open}. */
  constructor(parts: Parts) {
    this.#parts = parts;
    this.clock = parts.world.runtime.clock;
    this.#caller = new LocalCaller(this.clock, parts.methods);
    this.#watches = new WatchHub(this.#caller);
    this.kv = new Kv(this.#caller);
    this.lease = new Lease(this.#caller);
    this.cluster = new Cluster(this.#caller);
    this.maintenance = new Maintenance(this.#caller);
    this.rpc = stubsOf(this.#caller);
  }

  /** This member's id in its cluster. */
  get memberId(): bigint {
    return this.#parts.member.identity.memberId;
  }

  get clusterId(): bigint {
    return this.#parts.member.identity.clusterId;
  }

  /** The member that leads as far as this one knows; 0n while there is none. */
  get leader(): bigint {
    return this.#parts.member.leadership.leader;
  }

  /** Whether this member leads, as far as it knows. */
  get isLeader(): boolean {
    return this.leader === this.memberId;
  }

  /** Ports that clients are served at, in the order of `listenClientUrls`. */
  get clientPorts(): readonly number[] {
    return this.#parts.listener.ports;
  }

  /** Watches a key or a range of keys from now on, or from a revision; see {@link Watcher}. Throws the signal's reason. */
  watch(key: Bytes, options?: WatchOptions): Watcher {
    return this.#watches.watch(key, options);
  }

  /** The keys that begin with `prefix` as if they were all there are. */
  namespace(prefix: Bytes): Namespace {
    return new Namespace(this.#caller, prefix);
  }

  /**
   * Hands leadership over when leading, rejects the calls under way, writes what was applied and gives the directory back. A
   * write that is rejected here may have happened, one that was acknowledged has. Safe to call more than once. After a failure
   * it only ends the calls: see `onFatal`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal The member cannot be trusted any more. */
  fail(error: unknown): void {
    this.#failed = true;
    this.#caller.end(error);
    this.#parts.stopMonitor();
    // The others are to elect another leader, not to wait for this one.
    void this.#parts.world.runtime.peers.stop();
    void this.#parts.listener.close();
  }

  async #close(): Promise<void> {
    if (this.#failed) return;
    const { member, listener, world, stopMonitor } = this.#parts;
    await listener.drain(() => member.endStreams());
    await member.stop();
    this.#caller.end(closedError());
    stopMonitor();
    await listener.close();
    await world.release();
  }
}

/** The first error that ends a member, which may come before anybody can be told. */
class Failure {
  readonly #onFatal: ((error: unknown) => void) | undefined;
  #listener: ((error: unknown) => void) | undefined;
  #error: { readonly error: unknown } | undefined;

  constructor(onFatal: ((error: unknown) => void) | undefined) {
    this.#onFatal = onFatal;
  }

  set(error: unknown): void {
    if (this.#error !== undefined) return;
    this.#error = { error };
    this.#listener?.(error);
    if (this.#onFatal === undefined) {
      // Out of the reach of whoever called into the member.
      setImmediate(() => {
        throw error;
      });
    } else {
      this.#onFatal(error);
    }
  }

  onSet(listener: (error: unknown) => void): void {
    this.#listener = listener;
    if (this.#error !== undefined) listener(this.#error.error);
  }
}

function closedError(): RpcError {
  return new RpcError({ status: Status.CANCELLED, details: 'the member is closed', endpoint: '', sent: false });
}
