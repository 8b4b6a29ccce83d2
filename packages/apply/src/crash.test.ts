/** Dying anywhere, and being one of several: what is on disk is always the result of a whole prefix of the log. */
import { type Backend, MemoryBackendFactory } from '@quorate/backend';
import { CorruptionError, type CrashPoints, FatalError, SimulatedCrash } from '@quorate/base';
import { type Entry, EntryType, InternalRaftRequest, PutRequest } from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { knownLeases } from './testing/arbitraries.ts';
import { logs } from './testing/logs.ts';
import { Machine, type MachineOptions } from './testing/machine.ts';
import { TestBackend } from './testing/test-backend.ts';

function open<Behind extends Backend = TestBackend>(options: MachineOptions<Behind>): Promise<Machine<Behind>> {
  return Machine.open({ leases: knownLeases, ...options });
}

/** The state after each prefix of the log, from the empty one on. */
async function statesOf(log: readonly Entry[]): Promise<string[]> {
  const machine = await open({});
  const states = [machine.describe()];
  for (const entry of log) {
    machine.loop.apply([entry]);
    states.push(machine.describe());
  }
  return states;
}

/**
 * Counts what a member does to its disk and the crash points it passes, and dies at one of them. At each point between two entries
 * it may commit, as whoever is called from there could.
 */
class Fate implements CrashPoints {
  readonly #backend: TestBackend;
  readonly #diesAt: number;
  readonly #commitsAt: (moment: number) => boolean;
  moments = 0;
  /** What the member's parts commit through, once it is open. */
  through: Machine['entryBackend'] | undefined;

  constructor(backend: TestBackend, diesAt: number, commitsAt: (moment: number) => boolean) {
    this.#backend = backend;
    this.#diesAt = diesAt;
    this.#commitsAt = commitsAt;
  }

  hit(): void {
    this.#moment();
    if (this.through === undefined || !this.#commitsAt(this.moments)) return;
    try {
      this.through.commit();
    } catch (error) {
      // Refused while an entry is open.
      if (!(error instanceof FatalError)) throw error;
    }
  }

  watch(): void {
    this.#backend.beforeOperation = () => this.#moment();
  }

  #moment(): void {
    this.moments++;
    if (this.moments === this.#diesAt) {
      this.#backend.beforeOperation = () => {};
      throw new SimulatedCrash('somewhere');
    }
  }
}

/** Applies the log until death, entries in batches of `batch`, compaction running between them. Returns the moments lived. */
async function live(log: readonly Entry[], backend: TestBackend, fate: Fate, batch: number): Promise<void> {
  const machine = await open({ backend, crash: fate });
  fate.through = machine.entryBackend;
  fate.watch();
  try {
    for (let at = 0; at < log.length; at += batch) {
      machine.loop.apply(log.slice(at, at + batch));
      machine.settle();
      // Background work reports what it met instead of throwing it at anybody.
      if (machine.fatals.length > 0) throw machine.fatals[0];
    }
  } catch (error) {
    if (!isCrash(error)) throw error;
  }
  backend.beforeOperation = () => {};
}

/** A crash inside the store comes wrapped in what the loop makes of any error there. */
function isCrash(error: unknown): boolean {
  return error instanceof SimulatedCrash || (error instanceof Error && error.cause instanceof SimulatedCrash);
}

test('B01: after dying at any operation, the state is the log up to its index, and the rest leads to the same end', async () => {
  let deaths = 0;
  await fc.assert(
    fc.asyncProperty(
      logs(6),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 7 }),
      async (log, batch, every) => {
        const states = await statesOf(log);
        const commitsAt = (moment: number): boolean => moment % every === 0;
        const whole = new TestBackend();
        const lifetime = new Fate(whole, Number.POSITIVE_INFINITY, commitsAt);
        await live(log, whole, lifetime, batch);
        for (let diesAt = 1; diesAt <= lifetime.moments; diesAt++) {
          const backend = new TestBackend();
          await live(log, backend, new Fate(backend, diesAt, commitsAt), batch);
          const restarted = await open({ backend: backend.afterCrash() });
          expect(restarted.describe()).toBe(states[restarted.loop.appliedIndex]);
          restarted.loop.apply(log);
          restarted.settle();
          expect(restarted.describe()).toBe(states[log.length]);
          deaths++;
        }
      },
    ),
    { numRuns: 150 },
  );
  expect(deaths).toBeGreaterThanOrEqual(1000);
}, 60_000);

test('B01: the index is written once per call, and by nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(logs(12), fc.integer({ min: 1, max: 5 }), async (log, batch) => {
      const backend = new TestBackend();
      const written: number[] = [];
      const put = backend.put.bind(backend);
      backend.put = (bucket, key, value) => {
        if (key === 'consistent_index') written.push(value.readUInt32BE(4));
        put(bucket, key, value);
      };
      const machine = await open({ backend });
      const last: number[] = [];
      for (let at = 0; at < log.length; at += batch) {
        machine.loop.apply(log.slice(at, at + batch));
        last.push(Math.min(at + batch, log.length));
        machine.settle();
        machine.entryBackend.commit();
      }
      await open({ backend });
      expect(written).toEqual(last);
    }),
  );
});

test('B01: when an entry fails, a commit that had to wait takes the entries before it with their index', async () => {
  const good = (index: number): Entry => ({
    index,
    term: 1,
    type: EntryType.ENTRY_NORMAL,
    data: InternalRaftRequest.encode(InternalRaftRequest.create({ put: PutRequest.create({ key: Buffer.from('a') }) })),
  });
  const bad: Entry = { index: 3, term: 1, type: EntryType.ENTRY_NORMAL, data: Buffer.from([0xff]) };
  const machine = await open({});
  expect(() => machine.loop.apply([good(1), good(2), bad, good(4)])).toThrow(CorruptionError);
  // Past the part of the backend that would refuse: it was asked for before.
  machine.backend.commit();
  const restarted = await open({ backend: machine.backend.afterCrash() });
  expect(restarted.loop.appliedIndex).toBe(2);
  expect(restarted.store.currentRevision).toBe(3);
});

test('B01: a loss of power leaves the result of a prefix too, whatever commits were under way', async () => {
  const schedule = fc.array(fc.constantFrom('apply', 'apply', 'ask', 'step', 'settle'), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(logs(12), schedule, fc.integer({ min: 0, max: 3 }), async (log, actions, keepUnflushed) => {
      const states = await statesOf(log);
      const steps: (() => void)[] = [];
      const stores = new MemoryBackendFactory({ schedule: (_step, run) => steps.push(run) });
      const machine = await open({ backend: await stores.open('db') });
      for (const action of actions) {
        if (action === 'apply') machine.loop.apply(log.slice(machine.loop.appliedIndex, machine.loop.appliedIndex + 1));
        else if (action === 'ask') machine.entryBackend.commit();
        else if (action === 'settle') machine.settle();
        else steps.shift()?.();
        // The next commit in line starts when promises run.
        for (let i = 0; i < 5; i++) await Promise.resolve();
      }
      stores.crash({ keepUnflushed });
      const restarted = await open({ backend: await stores.open('db') });
      expect(restarted.describe()).toBe(states[restarted.loop.appliedIndex]);
      restarted.loop.apply(log);
      restarted.settle();
      expect(restarted.describe()).toBe(states[log.length]);
    }),
    { numRuns: 300 },
  );
}, 60_000);

test('J10: two members that apply the same log hold the same bytes, whoever of them proposed it', async () => {
  await fc.assert(
    fc.asyncProperty(logs(25), fc.integer({ min: 1, max: 5 }), async (log, batch) => {
      const one = await open({ memberId: 1n });
      const two = await open({ memberId: 2n });
      for (const entry of log) one.loop.apply([entry]);
      for (let at = 0; at < log.length; at += batch) two.loop.apply(log.slice(at, at + batch));
      expect(two.describe()).toBe(one.describe());
      expect(two.backend.dump()).toBe(one.backend.dump());
      one.settle();
      two.settle();
      expect(two.backend.dump()).toBe(one.backend.dump());
      expect([...one.fatals, ...two.fatals]).toEqual([]);
    }),
    { numRuns: 300 },
  );
}, 60_000);

test('a restart between any two entries changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(logs(10), async (log) => {
      const states = await statesOf(log);
      let machine = await open({});
      for (const [i, entry] of log.entries()) {
        machine.loop.apply([entry]);
        machine.settle();
        machine.entryBackend.commit();
        machine = await open({ backend: machine.backend.afterCrash() });
        expect(machine.describe()).toBe(states[i + 1]);
      }
    }),
    { numRuns: 100 },
  );
}, 60_000);
