/** A member's replicated state without the member: everything applyable, on a test backend, driven entry by entry. */
import { type Backend, buckets } from '@quorate/backend';
import {
  type Clock,
  type CrashPoints,
  type Key,
  type LeaseId,
  type MemberId,
  type Meter,
  noCrashPoints,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { Store } from '@quorate/mvcc';
import {
  ConfState,
  type Entry,
  EntryType,
  encodeHeaderPrefix,
  InternalRaftRequest,
  KeyValue,
  KvError,
  RangeRequest,
  RangeResponse,
  RequestHeader,
} from '@quorate/proto';
import { AlarmStore } from '@quorate/quota';
import type { Applied, ApplyResult } from '../answer.ts';
import type { LeaseTable } from '../applier.ts';
import { ApplyLoop } from '../apply-loop.ts';
import { EntryBackend } from '../entry-backend.ts';
import { MembershipStore } from '../membership-store.ts';
import { rangeResponse } from '../range.ts';
import { TestBackend } from './test-backend.ts';

export interface MachineOptions<Behind extends Backend = TestBackend> {
  /** Default: an empty TestBackend. */
  readonly backend?: Behind;
  readonly memberId?: MemberId;
  readonly crash?: CrashPoints;
  readonly leases?: readonly LeaseId[];
  /** Default: one that forgets. */
  readonly meter?: Meter;
}

/** No time passes; later turns come when asked for. */
export class ManualClock implements Clock {
  #later: (() => void)[] = [];

  nowMs(): number {
    return 0;
  }

  wallMs(): number {
    return 0;
  }

  after(_delayMs: number, fn: () => void): { cancel(): void } {
    this.#later.push(fn);
    return { cancel: () => (this.#later = this.#later.filter((other) => other !== fn)) };
  }

  soon(fn: () => void): void {
    this.#later.push(fn);
  }

  /** Everything that waits, and what that makes wait. */
  run(): void {
    for (let fn = this.#later.shift(); fn !== undefined; fn = this.#later.shift()) fn();
  }
}

/** Leases without keys: some that are always there at first, and what rows of the lease bucket say of them and others. */
export class TestLeases implements LeaseTable {
  readonly #first: ReadonlySet<LeaseId>;
  readonly #backend: Backend;

  constructor(ids: readonly LeaseId[] = [], backend: Backend = new TestBackend()) {
    this.#first = new Set(ids);
    this.#backend = backend;
  }

  has(lease: LeaseId): boolean {
    const row = this.#backend.get(buckets.lease, `${lease}`);
    return row === undefined ? this.#first.has(lease) : row.length > 0;
  }

  grant(lease: LeaseId): void {
    if (this.has(lease)) throw new KvError('leaseExist');
    this.#backend.put(buckets.lease, `${lease}`, Buffer.from([1]));
  }

  keysOf(lease: LeaseId): Key[] {
    if (!this.has(lease)) throw new KvError('leaseNotFound');
    return [];
  }

  revoke(lease: LeaseId): void {
    this.#backend.put(buckets.lease, `${lease}`, Buffer.alloc(0));
  }

  checkpoint(): void {}
}

/** The header prefix of a machine's answers: cluster 1, member 2, term 3. */
export const testPrefix: ReturnType<typeof encodeHeaderPrefix> = encodeHeaderPrefix({
  clusterId: 1n,
  memberId: 2n,
  raftTerm: 3,
});

/** All keys. */
export const everything: RangeRequest = RangeRequest.create({ key: Buffer.from([0]), rangeEnd: Buffer.from([0]) });

export class Machine<Behind extends Backend = TestBackend> {
  readonly backend: Behind;
  readonly entryBackend: EntryBackend;
  readonly store: Store;
  readonly alarms: AlarmStore;
  readonly members: MembershipStore;
  readonly loop: ApplyLoop;
  readonly clock: ManualClock;
  readonly fatals: unknown[];
  /** What callers were told, by request id. */
  readonly results: Map<number, ApplyResult> = new Map();
  /** Configuration changes given to raft, by index. */
  readonly confChanges: number[] = [];
  membersChangedCount = 0;
  #nextId = 1;

  private constructor(parts: {
    backend: Behind;
    entryBackend: EntryBackend;
    store: Store;
    clock: ManualClock;
    fatals: unknown[];
    options: MachineOptions<Behind>;
  }) {
    const { backend, entryBackend, store, clock, fatals, options } = parts;
    this.backend = backend;
    this.entryBackend = entryBackend;
    this.store = store;
    this.clock = clock;
    this.fatals = fatals;
    this.alarms = AlarmStore.open(entryBackend);
    this.members = MembershipStore.open(entryBackend);
    this.loop = new ApplyLoop({
      memberId: options.memberId ?? 1n,
      backend: entryBackend,
      store,
      alarms: this.alarms,
      members: this.members,
      leases: new TestLeases(options.leases, entryBackend),
      clock,
      meter: options.meter ?? silentMeter,
      crash: options.crash ?? noCrashPoints,
      hooks: {
        resolve: (id, result) => this.results.set(id, result),
        headerPrefix: () => testPrefix,
        applyConfChange: (entry) => {
          this.confChanges.push(entry.index);
          return ConfState.create({ voters: this.members.list().map((member) => member.id) });
        },
        membersChanged: () => this.membersChangedCount++,
      },
    });
  }

  static async open<Behind extends Backend = TestBackend>(
    options: MachineOptions<Behind> = {},
  ): Promise<Machine<Behind>> {
    const backend = options.backend ?? (new TestBackend() as Backend as Behind);
    const entryBackend = new EntryBackend(backend);
    const clock = new ManualClock();
    const fatals: unknown[] = [];
    const opening = Store.open({
      backend: entryBackend,
      clock,
      logger: silentLogger,
      meter: silentMeter,
      crash: options.crash ?? noCrashPoints,
      leases: { leaseOf: () => 0n, attach: () => {}, detach: () => {} },
      checksum: byteSum,
      compaction: { batchLimit: 2 },
      onFatal: (error) => fatals.push(error),
    });
    let opened: Store | undefined;
    opening.then(
      (store) => (opened = store),
      () => {},
    );
    for (let turn = 0; opened === undefined && turn < 1000; turn++) {
      clock.run();
      await Promise.resolve();
    }
    return new Machine({ backend, entryBackend, store: await opening, clock, fatals, options });
  }

  /** The entry after the last one applied. */
  nextEntry(data: Buffer, type: number = EntryType.ENTRY_NORMAL): Entry {
    return { index: this.loop.appliedIndex + 1, term: Math.max(this.loop.appliedTerm, 1), type, data };
  }

  /** Applies a request of this member's own, and returns what its caller is told. */
  propose(fields: Partial<InternalRaftRequest>): ApplyResult {
    const id = this.#nextId++;
    const header = RequestHeader.create({ id, proposer: 1n });
    this.loop.apply([this.nextEntry(InternalRaftRequest.encode(InternalRaftRequest.create({ header, ...fields })))]);
    return this.results.get(id)!;
  }

  /** Like {@link propose}, for requests that must succeed. */
  do(fields: Partial<InternalRaftRequest>): Applied {
    const result = this.propose(fields);
    if (result instanceof KvError) throw result;
    return result;
  }

  /** Lets background work finish. */
  settle(): void {
    this.clock.run();
  }

  /** All there is to see of the replicated state at the consistent index, as text. */
  describe(): string {
    const { store, alarms, members, loop } = this;
    const { compactRevision, currentRevision } = store;
    const lines = [
      `index ${loop.appliedIndex} term ${loop.appliedTerm} voters ${loop.confState.voters.join()}`,
      `alarms ${alarms.list().map((alarm) => `${alarm.memberID}:${alarm.alarm}`)}`,
      `members ${members.list().map((member) => `${member.id}/${member.name}/${member.peerURLs}/${member.clientURLs}`)}`,
      `version ${members.clusterVersion} downgrade to ${members.downgrade.targetVersion}`,
      `revision ${currentRevision} compacted ${compactRevision}`,
    ];
    for (let revision = Math.max(1, compactRevision); revision <= currentRevision; revision++) {
      const { kvs } = RangeResponse.decode(rangeResponse(store.read(), { ...everything, revision }, testPrefix));
      lines.push(`@${revision} ${kvs.map((kv) => KeyValue.encode(kv).toString('hex')).join()}`);
    }
    return lines.join('\n');
  }
}

/** A checksum good enough for tests. */
function byteSum(bytes: Uint8Array, seed: number): number {
  let sum = seed;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0;
  return sum;
}
