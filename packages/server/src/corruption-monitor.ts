/**
 * Compares members with each other, by the hash of their history: once before a member serves, and as the leader every so often.
 * What differs raises the CORRUPT alarm, through the log, on the member that is wrong; the whole cluster refuses writes then until
 * somebody disarms it, as etcd does, because members that contradict each other without one of them knowing to be wrong are no
 * cluster any more. (A member that finds its own store damaged is another matter: damage.ts.)
 */
import { formatId, type MemberId, type Timer } from '@quorate/base';
import type { HashResult } from '@quorate/mvcc';
import { AlarmRequest, AlarmRequestAlarmAction, AlarmType, InternalRaftRequest, KvError } from '@quorate/proto';
import type { MemberCore } from './core.ts';
import { differing, judgeCompaction, type PeerHash, wrongInPeriodicCheck } from './corruption-verdict.ts';
import type { HashQuestion } from './peer-transport.ts';
import { StartError } from './start-error.ts';

/** How long a member may take to hash what it has, in milliseconds. */
const hashLimitMs = 60_000;

/** What is asked of the core. */
export type MonitoredCore = Pick<
  MemberCore,
  'config' | 'isServing' | 'leadership' | 'memberId' | 'propose' | 'reads' | 'runtime' | 'state'
>;

export class CorruptionMonitor {
  readonly #core: MonitoredCore;
  readonly #timers = new Map<string, Timer>();
  #stopped = false;
  /** Newest compaction whose hashes all members agreed on. */
  #agreedRevision = 0;

  constructor(core: MonitoredCore) {
    this.#core = core;
  }

  /** Begins to compare, as often as the settings say. */
  start(): void {
    const { corruptCheckMs, compactHashCheck, compactHashCheckMs } = this.#core.config;
    if (corruptCheckMs > 0) this.#every('periodic', corruptCheckMs, () => this.checkNow());
    if (compactHashCheck) this.#every('compaction', compactHashCheckMs, () => this.checkCompactions());
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  /**
   * Compares this member with the others before it serves. Others that do not answer, lag, or compacted at another time say nothing.
   * Rejects with StartError when somebody differs.
   */
  async checkBeforeServing(): Promise<void> {
    const { logger } = this.#core.runtime;
    const own = await this.#core.state.store.hashKv(0);
    const peers = await this.#askAll(
      { revision: own.hashRevision, ofCompaction: false },
      this.#core.config.electionMs * 2,
    );
    const wrong = differing(own, peers);
    const answers = peers.filter(({ found }) => found !== undefined).length;
    logger.info('compared the history with other members', { revision: own.hashRevision, answers, of: peers.length });
    if (wrong.length === 0) return;
    throw new StartError(
      `${this.#core.config.name} found data inconsistency with peers: at revision ${own.hashRevision} its history is not that of ` +
        `${wrong.map(formatId).join(', ')}. Compare all members with "kvctl endpoint hashkv --cluster"; if it is this one that ` +
        'differs, start it once with --rebuild-store=yes',
    );
  }

  /** One periodic check, if this member leads. */
  async checkNow(): Promise<void> {
    const { state, memberId } = this.#core;
    const before = await state.store.hashKv(0);
    const peers = await this.#askAll({ revision: before.hashRevision, ofCompaction: false }, hashLimitMs);
    await this.#confirmLead();
    const after = await this.#core.state.store.hashKv(0);
    const wrong = wrongInPeriodicCheck({ member: memberId, before, after }, peers);
    if (wrong !== undefined) await this.#alarm(wrong, before);
  }

  /** Compares the hashes of compactions that are not known to agree, the newest first. */
  async checkCompactions(): Promise<void> {
    const hashes = this.#core.state.compactionHashes;
    for (const revision of hashes?.revisions() ?? []) {
      const hash = hashes?.get(revision);
      if (hash === undefined || revision <= this.#agreedRevision) continue;
      const peers = await this.#askAll({ revision, ofCompaction: true }, hashLimitMs);
      const { agreed, wrong } = judgeCompaction({ member: this.#core.memberId, hash }, peers);
      for (const member of wrong) await this.#alarm(member, hash);
      if (agreed) this.#agreedRevision = revision;
      if (agreed || wrong.length > 0) return;
    }
  }

  /** Runs `check` after every interval while this member leads; the next interval begins when it is over. */
  #every(name: string, intervalMs: number, check: () => Promise<void>): void {
    if (this.#stopped) return;
    const { clock, logger } = this.#core.runtime;
    const timer = clock.after(intervalMs, () => {
      const { leadership, isServing } = this.#core;
      const checked = leadership.isLeader && isServing ? check() : Promise.resolve();
      checked
        .catch((error: unknown) => {
          // Damage was reported by the store; anything else only means that nothing was proved this time.
          logger.warn('could not compare members', { check: name, reason: String(error) });
        })
        .finally(() => this.#every(name, intervalMs, check));
    });
    this.#timers.set(name, timer);
  }

  #askAll(ask: HashQuestion, timeoutMs: number): Promise<PeerHash[]> {
    const { state, memberId } = this.#core;
    const others = state.members.list().filter((member) => member.id !== memberId);
    return Promise.all(others.map(({ id }) => this.#ask(id, ask, timeoutMs)));
  }

  async #ask(member: MemberId, ask: HashQuestion, timeoutMs: number): Promise<PeerHash> {
    const { peers, logger } = this.#core.runtime;
    try {
      const { error, ...found } = await peers.askHash(member, ask, timeoutMs);
      if (error !== '') throw new Error(error);
      return { member, found };
    } catch (error) {
      logger.warn('cannot compare a member', {
        member: formatId(member),
        revision: ask.revision,
        reason: String(error),
      });
      return { member, found: undefined };
    }
  }

  /** Without it, one that was deposed meanwhile could take a new leader for one that is ahead of everybody. */
  #confirmLead(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#core.reads.confirm((error) => {
        if (error !== undefined) reject(error);
        else if (this.#core.leadership.isLeader) resolve();
        else reject(new KvError('notLeader'));
      });
    });
  }

  async #alarm(member: MemberId, at: HashResult): Promise<void> {
    const { runtime, state } = this.#core;
    if (state.alarms.has(member, AlarmType.CORRUPT)) return;
    runtime.logger.error('members hold different histories; raising the CORRUPT alarm', {
      member: formatId(member),
      revision: at.hashRevision,
      compactRevision: at.compactRevision,
    });
    const alarm = AlarmRequest.create({
      action: AlarmRequestAlarmAction.ACTIVATE,
      memberID: member,
      alarm: AlarmType.CORRUPT,
    });
    const outcome = await this.#core.propose(InternalRaftRequest.create({ alarm }));
    if (outcome instanceof KvError) throw outcome;
  }
}
