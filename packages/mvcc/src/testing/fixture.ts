/** A store over a backend in memory, for tests. */
import { type Backend, MemoryBackendFactory } from '@quorate/backend';
import {
  type CrashPointName,
  type CrashPoints,
  type Key,
  noCrashPoints,
  SimulatedCrash,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { KeyValue } from '@quorate/proto';
import { RowIntake } from '../row-intake.ts';
import { Store } from '../store.ts';
import { type CompactionOptions, type LeaseBook, noLeases, type ReadTxn, type StoreOptions } from '../types.ts';
import { crc32c } from './crc32c.ts';
import { TestClock } from './test-clock.ts';

export interface FixtureOptions {
  readonly compaction?: Partial<CompactionOptions>;
  readonly leases?: LeaseBook;
  readonly crash?: CrashPoints;
}

export class Fixture {
  readonly clock: TestClock = new TestClock();
  readonly fatals: unknown[] = [];
  backend!: Backend;
  store!: Store;
  readonly #disk = new MemoryBackendFactory();
  options: FixtureOptions;

  private constructor(options: FixtureOptions) {
    this.options = options;
  }

  static async open(options: FixtureOptions = {}): Promise<Fixture> {
    const fixture = new Fixture(options);
    fixture.backend = await fixture.#disk.open('db');
    await fixture.reopen();
    return fixture;
  }

  /** Commits what is staged and waits for it. */
  async commit(): Promise<void> {
    await this.backend.commit().durable;
  }

  /** Opens a store on what the backend holds, staged rows included, unless `intake` has seen it. */
  async reopen(intake?: RowIntake): Promise<Store> {
    const options: StoreOptions = {
      backend: this.backend,
      clock: this.clock,
      logger: silentLogger,
      meter: silentMeter,
      crash: this.options.crash ?? noCrashPoints,
      leases: this.options.leases ?? noLeases,
      checksum: crc32c,
      compaction: this.options.compaction,
      onFatal: (error) => this.fatals.push(error),
    };
    const opening = Store.open(options, intake);
    this.store = await this.clock.settle(opening);
    return this.store;
  }

  /** The process dies; what was not committed is lost; the store opens again. */
  async crash(): Promise<Store> {
    this.clock.forget();
    this.#disk.crash({ keepUnflushed: true });
    return this.openAsAtStart();
  }

  /** The store sees the rows while the backend, which nobody has open, is opened. */
  async openAsAtStart(): Promise<Store> {
    const intake = new RowIntake(crc32c);
    this.backend = await this.#disk.open('db', intake);
    return this.reopen(intake);
  }

  put(key: Key, value = '', lease = 0n): number {
    const txn = this.store.write();
    const revision = txn.put(key, Buffer.from(value), lease);
    txn.end();
    return revision;
  }

  delete(key: Key, end: Key = ''): number {
    const txn = this.store.write();
    const count = txn.deleteRange(key, end);
    txn.end();
    return count;
  }

  /** Values of a range, `key=value`. */
  values(key: Key, end: Key = '', revision = 0, txn: ReadTxn = this.store.read()): string[] {
    return decode(txn.range(key, end, { revision }).rows).map((kv) => `${kv.key.toString('latin1')}=${kv.value}`);
  }
}

export function decode(rows: readonly Buffer[]): KeyValue[] {
  return rows.map((row) => KeyValue.decode(row));
}

/** Rows in a form that compares fast. */
export function text(rows: readonly Buffer[]): string {
  return rows.map((row) => row.toString('latin1')).join('|');
}

/** Crash points that throw when the armed one is hit for the n-th time. */
export class ArmedCrash implements CrashPoints {
  #name: CrashPointName | undefined;
  #left = 0;

  arm(name: CrashPointName, times = 1): void {
    this.#name = name;
    this.#left = times;
  }

  hit(name: CrashPointName): void {
    if (name === this.#name && --this.#left === 0) throw new SimulatedCrash(name);
  }
}
