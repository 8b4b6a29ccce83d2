/**
 * The second opinion on a store: what applying the log from its first entry up to an index gives, on a fresh backend. A store
 * found after a crash must equal the replay up to its own consistent index.
 */
import { readConsistentIndex } from '@quorate/apply';
import { type Backend, buckets, MemoryBackendFactory } from '@quorate/backend';
import { type Clock, type MemberId, noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import { ConfState, type Entry } from '@quorate/proto';
import { type MemberConfig, type Runtime, StateMachine } from '@quorate/server';
import { crc32c } from '@quorate/wal';

/** Everything of a member's state that the log decides, in a form that compares. */
export interface StateDigest {
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly hash: number;
  /** Latest version of every key, encoded, in key order. */
  readonly rows: readonly string[];
  readonly members: readonly string[];
  readonly alarms: readonly string[];
  readonly leases: readonly string[];
}

/** Time stands still: nothing in the background happens during a replay. */
const stillClock: Clock = {
  nowMs: () => 0,
  wallMs: () => 0,
  after: () => ({ cancel: () => {} }),
  soon: (fn) => void Promise.resolve().then(fn),
};

export interface ReplayOptions {
  readonly config: MemberConfig;
  readonly memberId: MemberId;
  /** The whole log, from index 1. */
  readonly entries: readonly Entry[];
  readonly upTo: number;
}

export async function replayLog(options: ReplayOptions): Promise<StateDigest> {
  const backend = await new MemoryBackendFactory().open('replay');
  const state = await openState(options.config, options.memberId, backend);
  state.applyLoop.apply(options.entries.filter((entry) => entry.index <= options.upTo));
  return digest(state);
}

/** Digest of a store as a crash left it. */
export async function digestStore(config: MemberConfig, memberId: MemberId, backend: Backend): Promise<StateDigest> {
  return digest(await openState(config, memberId, backend));
}

function openState(config: MemberConfig, memberId: MemberId, backend: Backend): Promise<StateMachine> {
  const unused = (): never => {
    throw new Error('not part of a replay');
  };
  const runtime: Runtime = {
    clock: stillClock,
    random: new SeededRandom(0),
    disk: undefined as never,
    backends: undefined as never,
    peers: undefined as never,
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
    checksum: crc32c,
    onFatal: unused,
  };
  const hooks = {
    resolve: () => {},
    headerPrefix: unused,
    // One member founds the cluster alone in these replays.
    applyConfChange: () => ConfState.create({ voters: [memberId] }),
    membersChanged: () => {},
  };
  // Nobody waits for answers here: replaying as another member leaves them out.
  return StateMachine.open({ config, runtime, memberId: memberId ^ 1n, backend, hooks });
}

async function digest(state: StateMachine): Promise<StateDigest> {
  const { store, backend } = state;
  const { index, term } = readConsistentIndex(backend);
  const { hash } = await store.hashKv(0);
  const hex = (bucket: (typeof buckets)[keyof typeof buckets]): string[] =>
    backend.range(bucket, { from: '' }).map((row) => `${row.key}=${row.value.toString('hex')}`);
  return {
    index,
    term,
    revision: store.currentRevision,
    compactRevision: store.compactRevision,
    hash,
    rows: store
      .read()
      .range('\0', '\0')
      .rows.map((row) => row.toString('hex')),
    members: hex(buckets.members),
    alarms: hex(buckets.alarm),
    leases: hex(buckets.lease),
  };
}
