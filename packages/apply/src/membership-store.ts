/**
 * Who is in the cluster, as the log has it up to the consistent index: members with their names and URLs, the ids of those
 * removed (which may never come back), the version the cluster runs as and is on its way to. Everything changes within the application of an entry
 * and is staged with it; all members judge a change alike, so the rules stand here and not only at the edge.
 *
 * | bucket | key | value |
 * |---|---|---|
 * | `members` | id in hex, as etcd prints it | internalpb.MemberRecord |
 * | `members_removed` | id in hex | `removed` |
 * | `cluster` | `clusterVersion` | the version as text |
 * | `cluster` | `downgrade` | JSON, as etcd has it: `{"target-version":"3.5.0","enabled":true}` |
 */
import { type Backend, type Bucket, buckets, type Row } from '@quorate/backend';
import { CorruptionError, formatId, type MemberId, parseId, unreachable } from '@quorate/base';
import { DowngradeInfo, KvError, Member, type MemberAttributesSet, MemberRecord } from '@quorate/proto';
import type { MembershipChange } from './membership-change.ts';

const versionKey = 'clusterVersion';
const downgradeKey = 'downgrade';
const removedMark = Buffer.from('removed');

export class MembershipStore {
  readonly #backend: Backend;
  /** Ascending by id. */
  readonly #members: Map<MemberId, MemberRecord>;
  readonly #removed: Set<MemberId>;
  #clusterVersion: string | undefined;
  #downgrade: DowngradeInfo;

  private constructor(backend: Backend) {
    this.#backend = backend;
    this.#members = new Map(
      rowsOf(backend, buckets.members).map((row) => [idOf(row), MemberRecord.decode(row.value)] as const),
    );
    this.#removed = new Set(rowsOf(backend, buckets.membersRemoved).map(idOf));
    this.#clusterVersion = backend.get(buckets.cluster, versionKey)?.toString();
    this.#downgrade = downgradeOf(backend.get(buckets.cluster, downgradeKey));
  }

  /** Reads what `backend` holds. Throws CorruptionError. */
  static open(backend: Backend): MembershipStore {
    return new MembershipStore(backend);
  }

  /** How many members there are, learners among them. */
  get count(): number {
    return this.#members.size;
  }

  /** All members, ascending by id. The name of one that has not started yet is empty. */
  list(): Member[] {
    return this.records().map(memberOf);
  }

  /** All members with everything known of them, ascending by id. */
  records(): MemberRecord[] {
    const ids = [...this.#members.keys()].sort((a, b) => (a < b ? -1 : 1));
    return ids.map((id) => ({ ...this.#members.get(id)! }));
  }

  get(id: MemberId): Member | undefined {
    const record = this.#members.get(id);
    return record === undefined ? undefined : memberOf(record);
  }

  /** Whether a member of this id was removed. */
  wasRemoved(id: MemberId): boolean {
    return this.#removed.has(id);
  }

  /** All ids that were removed. */
  removedIds(): MemberId[] {
    return [...this.#removed];
  }

  /** Which data directory the member named as its own when it first ran; 0n before, and for strangers. */
  incarnationOf(id: MemberId): bigint {
    return this.#members.get(id)?.incarnation ?? 0n;
  }

  /** As decided by the cluster, `3.6.0`; undefined before the first decision. */
  get clusterVersion(): string | undefined {
    return this.#clusterVersion;
  }

  /** The downgrade that goes on; not enabled when there is none. */
  get downgrade(): DowngradeInfo {
    return { ...this.#downgrade };
  }

  /**
   * Throws KvError memberNotFound, memberExist, peerUrlExist, memberNotLearner, tooManyLearners, or notEnoughStarted for the last
   * voter, when the change is against the rules.
   */
  check(change: MembershipChange): void {
    switch (change.kind) {
      case 'add':
        this.#checkAdd(change.member);
        this.#checkLearners(change);
        break;
      case 'promote':
        if (!this.#mustHave(change.id).isLearner) throw new KvError('memberNotLearner');
        break;
      case 'update':
        this.#mustHave(change.id);
        this.#checkUrls(change.id, change.peerUrls);
        break;
      case 'remove':
        if (!this.#mustHave(change.id).isLearner && this.#voterCount === 1) throw new KvError('notEnoughStarted');
        break;
      default:
        unreachable(change);
    }
  }

  /** Stages a change that {@link check} let pass. */
  apply(change: MembershipChange): void {
    switch (change.kind) {
      case 'add':
        this.#save(change.member);
        break;
      case 'promote':
        this.#save({ ...this.#mustHave(change.id), isLearner: false });
        break;
      case 'update':
        this.#save({ ...this.#mustHave(change.id), peerUrls: [...change.peerUrls] });
        break;
      case 'remove':
        this.#remove(change.id);
        break;
      default:
        unreachable(change);
    }
  }

  /**
   * Stages what a member says of itself. One that was removed meanwhile is passed over: its last word may be on the way still.
   * Throws KvError memberNotFound for one never heard of, memberExist for one whose data directory is another than at first.
   */
  setAttributes({ memberId, name, clientUrls, incarnation }: MemberAttributesSet): void {
    if (this.#removed.has(memberId)) return;
    const member = this.#mustHave(memberId);
    const isOther = incarnation !== 0n && member.incarnation !== 0n && incarnation !== member.incarnation;
    if (isOther) throw new KvError('memberExist');
    this.#save({ ...member, name, clientUrls: [...clientUrls], incarnation: incarnation || member.incarnation });
  }

  /** Stages the version the cluster runs as. */
  setClusterVersion(version: string): void {
    this.#clusterVersion = version;
    this.#backend.put(buckets.cluster, versionKey, Buffer.from(version));
  }

  /** Stages that a downgrade begins or ends. */
  setDowngrade(info: DowngradeInfo): void {
    this.#downgrade = info.enabled ? { ...info } : DowngradeInfo.create();
    const { enabled, targetVersion } = this.#downgrade;
    const json = JSON.stringify({ 'target-version': targetVersion, enabled });
    this.#backend.put(buckets.cluster, downgradeKey, Buffer.from(json));
  }

  #checkAdd(member: MemberRecord): void {
    // The same answer as for an unknown member, as etcd gives it.
    if (this.#removed.has(member.id)) throw new KvError('memberNotFound');
    if (this.#members.has(member.id)) throw new KvError('memberExist');
    this.#checkUrls(member.id, member.peerUrls);
  }

  #checkUrls(id: MemberId, peerUrls: readonly string[]): void {
    for (const other of this.#members.values()) {
      if (other.id !== id && other.peerUrls.some((url) => peerUrls.includes(url))) throw new KvError('peerUrlExist');
    }
  }

  #checkLearners({ member, learnersMax }: { member: MemberRecord; learnersMax: number }): void {
    if (!member.isLearner || learnersMax === 0) return;
    if (this.#members.size - this.#voterCount >= learnersMax) throw new KvError('tooManyLearners');
  }

  get #voterCount(): number {
    let count = 0;
    for (const { isLearner } of this.#members.values()) if (!isLearner) count++;
    return count;
  }

  #mustHave(id: MemberId): MemberRecord {
    const member = this.#members.get(id);
    if (member === undefined) throw new KvError('memberNotFound');
    return member;
  }

  #save(record: MemberRecord): void {
    this.#members.set(record.id, record);
    this.#backend.put(buckets.members, formatId(record.id), MemberRecord.encode(record));
  }

  #remove(id: MemberId): void {
    this.#members.delete(id);
    this.#removed.add(id);
    this.#backend.remove(buckets.members, formatId(id));
    this.#backend.put(buckets.membersRemoved, formatId(id), removedMark);
  }
}

function memberOf({ id, name, peerUrls, clientUrls, isLearner }: MemberRecord): Member {
  return Member.create({ id, name, peerURLs: [...peerUrls], clientURLs: [...clientUrls], isLearner });
}

function rowsOf(backend: Backend, bucket: Bucket): Row[] {
  return backend.range(bucket, { from: '' });
}

function idOf({ key }: Row): MemberId {
  const id = parseId(key);
  if (id === undefined) throw new CorruptionError('backend', 'not the id of a member', { key });
  return id;
}

function downgradeOf(value: Buffer | undefined): DowngradeInfo {
  if (value === undefined) return DowngradeInfo.create();
  try {
    const { 'target-version': targetVersion, enabled } = JSON.parse(value.toString()) as Record<string, unknown>;
    return DowngradeInfo.create({ enabled: enabled === true, targetVersion: String(targetVersion) });
  } catch (cause) {
    throw new CorruptionError('backend', 'not the state of a downgrade', {
      value: value.toString(),
      reason: String(cause),
    });
  }
}
