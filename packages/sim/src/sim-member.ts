/**
 * One member of a simulated cluster over its whole life: the same disks through many processes. The member itself is the
 * production class; only its Runtime is virtual.
 */
import { MemoryBackendFactory } from '@quorate/backend';
import {
  type Logger,
  type MemberId,
  MemoryDisk,
  type Random,
  SimulatedCrash,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { Member, type MemberConfig, type Runtime, StartError } from '@quorate/server';
import { crc32c } from '@quorate/wal';
import { SimProcess } from './process.ts';
import { clockOf, type Scheduler } from './scheduler.ts';
import { SimDisk } from './sim-disk.ts';
import type { SimNetwork } from './sim-network.ts';
import type { Trace } from './trace.ts';
import type { Truth } from './truth.ts';

export interface SimMemberOptions {
  readonly config: MemberConfig;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly trace: Trace;
  readonly truth: Truth;
  readonly logger?: Logger;
}

/** Milliseconds a sync takes on a healthy simulated disk. */
export const calmDiskMs = 1;

/** How a member's process ends against its will. */
export type CrashKind = 'process' | 'power';

export class SimMember {
  readonly name: string;
  readonly config: MemberConfig;
  readonly disk: MemoryDisk = new MemoryDisk();
  readonly backends: MemoryBackendFactory;
  readonly #options: SimMemberOptions;
  #process: SimProcess | undefined;
  #member: Member | undefined;
  #memberId: MemberId | undefined;
  /** Disk latency in milliseconds, changed by faults. */
  diskDelayMs: number = calmDiskMs;
  /** What an armed crash point takes with it when it fires. */
  #armedKind: CrashKind = 'process';
  crashCount = 0;
  #refusal: string | undefined;
  readonly hits: Map<string, number> = new Map();

  constructor(options: SimMemberOptions) {
    this.name = options.config.name;
    this.config = options.config;
    this.#options = options;
    this.backends = new MemoryBackendFactory();
  }

  /** The member when it runs and has opened its state. */
  get running(): Member | undefined {
    return this.#process?.alive === true ? this.#member : undefined;
  }

  /** Why the cluster does not want this member any more, or could not take it in at its last start. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  get alive(): boolean {
    return this.#process?.alive === true;
  }

  /** Starts a new process on what the disks hold. */
  start(): void {
    const { scheduler, trace, config } = this.#options;
    if (this.alive) return;
    const simProcess: SimProcess = new SimProcess(scheduler, (where) =>
      this.#died(simProcess, this.#armedKind, `at ${where}`),
    );
    this.#process = simProcess;
    this.#member = undefined;
    this.#refusal = undefined;
    trace.add(`${this.name} starts`);
    Member.start(config, this.#runtime(simProcess)).then(
      (member) => this.#started(simProcess, member),
      (error: unknown) => this.#failed(simProcess, error),
    );
  }

  /** Kills the process; `power` also loses what the disks had not made durable. */
  crash(kind: CrashKind): void {
    if (this.#process?.alive === true) this.#died(this.#process, kind, 'killed');
  }

  /** Dies at the nth passing of a crash point from now on. */
  arm(...args: Parameters<SimProcess['arm']>): void {
    this.#process?.arm(...args);
  }

  /** Forgets an armed crash point. */
  disarm(): void {
    this.#process?.disarm();
  }

  armKind(kind: CrashKind): void {
    this.#armedKind = kind;
  }

  pause(durationMs: number): void {
    this.#process?.pause(durationMs);
  }

  #died(simProcess: SimProcess, kind: CrashKind, where: string): void {
    if (!simProcess.alive) return;
    simProcess.kill();
    this.crashCount++;
    for (const [name, count] of simProcess.hits) this.hits.set(name, (this.hits.get(name) ?? 0) + count);
    this.#options.trace.add(`${this.name} dies ${where} (${kind})`);
    if (this.#memberId !== undefined) this.#options.network.died(this.#memberId);
    this.#member = undefined;
    if (kind === 'power') {
      this.disk.crash(this.#options.random);
      this.backends.crash({ keepUnflushed: this.#options.random.below(3) });
    } else {
      this.backends.crash({ keepUnflushed: true });
    }
  }

  #started(simProcess: SimProcess, member: Member): void {
    if (!simProcess.alive) return;
    this.#member = member;
    this.#memberId = member.identity.memberId;
    this.#options.trace.add(`${this.name} runs at applied ${member.appliedIndex}`);
    member.published().catch((error: unknown) => this.#failed(simProcess, error));
  }

  #failed(simProcess: SimProcess, error: unknown): void {
    if (!simProcess.alive || error instanceof SimulatedCrash) return;
    // Told that it cannot be started, or not go on: its program ends, and an operator decides what becomes of it.
    if (error instanceof StartError) {
      this.#died(simProcess, 'process', `refused: ${error.message}`);
      this.#refusal = error.message;
      return;
    }
    this.#options.scheduler.fail(new Error(`${this.name} failed: ${String(error)}`, { cause: error }));
  }

  #runtime(simProcess: SimProcess): Runtime {
    const { scheduler, random, network, truth, logger } = this.#options;
    return {
      clock: clockOf(scheduler, simProcess.guard),
      random,
      disk: new SimDisk(this.disk, simProcess, () => this.diskDelayMs),
      backends: this.backends.forProcess({
        crash: simProcess.crashPoints,
        schedule: (_step, run) => {
          scheduler.after(this.diskDelayMs, simProcess.guard(run));
        },
      }),
      peers: network.transport(simProcess),
      logger: logger ?? silentLogger,
      meter: silentMeter,
      crash: simProcess.crashPoints,
      checksum: crc32c,
      onExpelled: (error) => this.#failed(simProcess, error),
      onFatal: (error) => this.#failed(simProcess, error),
      onChanges: (revision, changes) => truth.record(this.name, revision, changes, scheduler.nowMs),
    };
  }
}
