/**
 * Alarms: what is wrong, and which member said so. A set of pairs (type, member), changed only by entries of the log,
 * staged into the same batch as everything else an entry does, loaded at start.
 *
 * A row of the alarm bucket is its key alone: the encoded etcdserverpb.AlarmMember, as in etcd. The value is empty.
 */
import { type Backend, buckets } from '@quorate/backend';
import {
  formatId,
  keyFromBytes,
  keyToBytes,
  type Logger,
  type MemberId,
  type Meter,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { AlarmMember, AlarmType } from '@quorate/proto';

const noValue = Buffer.alloc(0);

/** The alarms that stand. */
export class AlarmStore {
  readonly #backend: Backend;
  readonly #logger: Logger;
  /** Type to the members that raised it. No set is empty. */
  readonly #members = new Map<number, Set<MemberId>>();

  readonly #meter: Meter;

  private constructor(backend: Backend, logger: Logger, meter: Meter) {
    this.#backend = backend;
    this.#logger = logger;
    this.#meter = meter;
  }

  /** Reads the alarms `backend` holds. Throws DecodeError for a row that is no alarm. */
  static open(backend: Backend, logger: Logger = silentLogger, meter: Meter = silentMeter): AlarmStore {
    const store = new AlarmStore(backend, logger, meter);
    for (const row of backend.range(buckets.alarm, { from: '' })) {
      const { memberID, alarm } = AlarmMember.decode(keyToBytes(row.key));
      store.#add(memberID, alarm);
    }
    return store;
  }

  /** Whether any member raised an alarm of this type. */
  any(type: number): boolean {
    return this.#members.has(type);
  }

  /** Whether this member raised an alarm of this type. */
  has(memberId: MemberId, type: number): boolean {
    return this.#members.get(type)?.has(memberId) === true;
  }

  /** The alarms of one type, or all of them for NONE, by type and member. The messages belong to the caller. */
  list(type: number = AlarmType.NONE): AlarmMember[] {
    const types = type === AlarmType.NONE ? [...this.#members.keys()].sort((a, b) => a - b) : [type];
    return types.flatMap((alarm) => {
      const members = [...(this.#members.get(alarm) ?? [])].sort((a, b) => (a < b ? -1 : 1));
      return members.map((memberID) => AlarmMember.create({ memberID, alarm }));
    });
  }

  /** Another state takes the place of this one: its alarms are shown no more. */
  close(): void {
    for (const { memberID, alarm } of this.list()) this.#show(memberID, alarm, 0);
  }

  /** Raises an alarm. Returns it, raised before or not; undefined for NONE, which is no alarm. */
  activate(memberId: MemberId, type: number): AlarmMember | undefined {
    if (type === AlarmType.NONE) return undefined;
    const alarm = AlarmMember.create({ memberID: memberId, alarm: type });
    if (this.#add(memberId, type)) {
      this.#backend.put(buckets.alarm, keyOf(alarm), noValue);
      this.#logger.warn('alarm raised', { memberId: formatId(memberId), alarm: alarmName(type) });
    }
    return alarm;
  }

  /**
   * Takes an alarm back. Returns it; undefined when it did not stand. Type NONE and member 0 match nothing but
   * themselves.
   */
  deactivate(memberId: MemberId, type: number): AlarmMember | undefined {
    const members = this.#members.get(type);
    if (members?.delete(memberId) !== true) return undefined;
    this.#show(memberId, type, 0);
    if (members.size === 0) this.#members.delete(type);
    const alarm = AlarmMember.create({ memberID: memberId, alarm: type });
    this.#backend.remove(buckets.alarm, keyOf(alarm));
    this.#logger.warn('alarm disarmed', { memberId: formatId(memberId), alarm: alarmName(type) });
    return alarm;
  }

  /** Returns whether it is new. */
  #add(memberId: MemberId, type: number): boolean {
    const members = this.#members.get(type);
    if (members === undefined) this.#members.set(type, new Set([memberId]));
    else if (members.has(memberId)) return false;
    else members.add(memberId);
    this.#show(memberId, type, 1);
    return true;
  }

  #show(memberId: MemberId, type: number, value: number): void {
    const labels = { server_id: formatId(memberId), alarm_type: alarmName(type) };
    const help = '1 for an alarm that a member raised, 0 after it was disarmed.';
    this.#meter.gauge({ name: 'etcd_debugging_server_alarms', help, labels }).set(value);
  }
}

function keyOf(alarm: AlarmMember): string {
  return keyFromBytes(AlarmMember.encode(alarm));
}

function alarmName(type: number): string {
  return Object.entries(AlarmType).find(([, value]) => value === type)?.[0] ?? String(type);
}
