/**
 * A watching client of a simulation: on one member after another, going on at its next revision each time. Whatever it is given
 * is held against the truth at once: every revision from where it was up to the newest one given, whole and in order, nothing
 * else; and progress only past revisions that do not concern it.
 */
import type { Random } from '@quorate/base';
import type { Change } from '@quorate/mvcc';
import {
  type Event,
  EventEventType,
  KeyValue,
  WatchCreateRequest,
  WatchCreateRequestFilterType,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import type { ServerCall, ServerStream } from '@quorate/rpc';
import type { Member } from '@quorate/server';
import type { Scheduler } from './scheduler.ts';
import type { SimMember } from './sim-member.ts';
import type { Truth } from './truth.ts';

export interface WatchClientOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly members: readonly SimMember[];
  readonly truth: Truth;
}

/** The connection to a member. */
interface Visit {
  readonly host: SimMember;
  readonly member: Member;
  /** False when the member does not read at the moment: it never gets this. */
  send(request: WatchRequest): boolean;
  cancel(): void;
}

interface Shape {
  readonly key: string;
  /** Empty: just the key; `'\0'`: everything from the key on. */
  readonly end: string;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
}

/** Longest time between two looks at whether the member still runs. */
const beatMs = 400;
/** Longest time a client does not read. */
const deafMs = 3_000;

export class WatchClient {
  readonly #options: WatchClientOptions;
  readonly #shape: Shape;
  #visit: Visit | undefined;
  /** First revision it has not been given; 0: whatever comes after it is created. */
  #next: number;
  #isCreated = false;
  #isCalm = false;
  #isOver = false;
  eventCount = 0;
  visitCount = 0;

  constructor(options: WatchClientOptions) {
    const { random } = options;
    this.#options = options;
    this.#next = [0, 1, 1 + random.below(500)][random.below(3)]!;
    const [key, end] = (
      [
        ['\0', '\0'],
        ['k', 'l'],
        ['k1', ''],
        ['l', '\0'],
      ] as const
    )[random.below(4)]!;
    const filter = random.below(6);
    this.#shape = { key, end, noPut: filter === 0, noDelete: filter === 1, prevKv: random.below(2) === 0 };
  }

  start(): void {
    const { scheduler, random } = this.#options;
    scheduler.after(random.below(beatMs), () => this.#beat());
  }

  /** From now on it reads, and stays where it is. */
  calm(): void {
    this.#isCalm = true;
  }

  stop(): void {
    this.#isOver = true;
    this.#visit?.cancel();
  }

  /** Whether it was given everything there is. */
  get isCurrent(): boolean {
    return this.#next > this.#options.truth.lastRevision;
  }

  #beat(): void {
    if (this.#isOver) return;
    const { scheduler, random } = this.#options;
    const visit = this.#visit;
    if (visit !== undefined && visit.host.running !== visit.member) this.#visit = undefined;
    else if (visit !== undefined && !this.#isCalm && random.below(12) === 0) {
      visit.cancel();
      this.#visit = undefined;
    }
    if (this.#visit === undefined) this.#connect();
    else if (this.#isCalm || random.below(3) === 0) this.#visit.send(WatchRequest.create({ progressRequest: {} }));
    scheduler.after(beatMs / 2 + random.below(beatMs), () => this.#beat());
  }

  #connect(): void {
    const { members, random } = this.#options;
    const host = members[random.below(members.length)]!;
    const member = host.running;
    if (member?.isServing !== true) return;
    this.visitCount++;
    this.#isCreated = false;
    const visit = this.#open(host, member);
    this.#visit = visit;
    this.#create(visit);
  }

  #create(visit: Visit): void {
    const { key, end, noPut, noDelete, prevKv } = this.#shape;
    const filters: number[] = [];
    if (noPut) filters.push(WatchCreateRequestFilterType.NOPUT);
    if (noDelete) filters.push(WatchCreateRequestFilterType.NODELETE);
    const [keyBytes, rangeEnd] = [Buffer.from(key, 'latin1'), Buffer.from(end, 'latin1')];
    const startRevision = this.#next;
    const createRequest = WatchCreateRequest.create({ key: keyBytes, rangeEnd, startRevision, prevKv, filters });
    if (visit.send(WatchRequest.create({ createRequest }))) return;
    this.#options.scheduler.after(beatMs, () => this.#createAgain(visit));
  }

  #createAgain(visit: Visit): void {
    if (this.#visit === visit && visit.host.running === visit.member) this.#create(visit);
  }

  #open(host: SimMember, member: Member): Visit {
    let take: (request: WatchRequest) => void = () => {};
    let cancelled: () => void = () => {};
    let drained: () => void = () => {};
    let isPaused = false;
    let isOver = false;
    const visit: Visit = {
      host,
      member,
      send: (request) => {
        if (isPaused) return false;
        take(request);
        return true;
      },
      cancel: () => {
        isOver = true;
        cancelled();
      },
    };
    const requests = {
      onMessage: (fn: (request: WatchRequest) => void) => (take = fn),
      onEnd: () => {},
      pause: () => (isPaused = true),
      resume: () => (isPaused = false),
    };
    const call = { onCancel: (fn: () => void) => (cancelled = fn) } as unknown as ServerCall;
    const stream = {
      sendHeaders: () => {},
      onDrain: (fn: () => void) => (drained = fn),
      sendEncoded: (bytes: Buffer) => {
        if (!isOver) this.#receive(visit, WatchResponse.decode(bytes));
        return this.#takesMore(() => {
          if (!isOver && host.running === member) drained();
        });
      },
      fail: () => (isOver = true),
    } as unknown as ServerStream<WatchResponse>;
    member.watch.watch(requests, call, stream);
    return visit;
  }

  /** Now and then a client reads no further for a while. */
  #takesMore(drained: () => void): boolean {
    const { scheduler, random } = this.#options;
    if (this.#isCalm || random.below(20) > 0) return true;
    scheduler.after(random.below(deafMs), drained);
    return false;
  }

  #receive(visit: Visit, response: WatchResponse): void {
    const revision = response.header!.revision;
    if (response.created) {
      this.#isCreated = true;
      if (this.#next === 0) this.#next = revision + 1;
    } else if (!this.#isCreated) this.#complain('was told something before it was created');
    else if (response.canceled) this.#ended(visit, response);
    else if (response.events.length === 0) this.#progress(revision);
    else this.#given(visit.member, response.events, revision);
  }

  #ended(visit: Visit, { compactRevision, cancelReason }: WatchResponse): void {
    if (compactRevision === 0) this.#complain(`was ended: ${cancelReason}`);
    if (compactRevision <= this.#next) this.#complain(`was ended by compaction at ${compactRevision}`);
    this.#next = compactRevision;
    this.#isCreated = false;
    // Not from within the member's own doings.
    this.#options.scheduler.after(1, () => this.#createAgain(visit));
  }

  #progress(revision: number): void {
    if (revision > this.#options.truth.lastRevision) this.#complain(`was told of progress at ${revision}`);
    if (revision < this.#next - 1) this.#complain(`was told of progress at ${revision}, behind what it knew`);
    const passed = this.#due(revision)[0];
    if (passed !== undefined)
      this.#complain(`was told of progress at ${revision} past ${passed.key}@${passed.modRevision}`);
    this.#next = revision + 1;
  }

  #given(member: Member, events: readonly Event[], headerRevision: number): void {
    const through = events.at(-1)!.kv!.modRevision;
    const due = this.#due(through);
    const isSame = events.length === due.length && events.every((event, i) => isEventOf(event, due[i]!));
    const lines = (): string => events.map(({ kv }) => `${kv!.key}@${kv!.modRevision}`).join(' ');
    if (!isSame) {
      this.#complain(
        `was given ${lines()}, due was ${due.map(({ key, modRevision }) => `${key}@${modRevision}`).join(' ')}`,
      );
    }
    if (headerRevision < through) this.#complain(`was given ${lines()} under header ${headerRevision}`);
    if (this.#shape.prevKv) for (const event of events) this.#checkPrevious(member, event);
    this.eventCount += events.length;
    this.#next = through + 1;
  }

  /** What concerns it from where it is up to `through`. */
  #due(through: number): Change[] {
    const { key, end, noPut, noDelete } = this.#shape;
    const due: Change[] = [];
    for (let revision = this.#next; revision <= through; revision++) {
      for (const change of this.#options.truth.changesAt(revision)) {
        if (change.type === 'put' ? noPut : noDelete) continue;
        if (end === '' ? change.key === key : change.key >= key && (end === '\0' || change.key < end)) due.push(change);
      }
    }
    return due;
  }

  #checkPrevious(member: Member, { kv, prevKv }: Event): void {
    const { key, modRevision } = kv!;
    const before = this.#options.truth.at(key.toString('latin1'), modRevision - 1);
    if (prevKv === undefined) {
      const isCompacted = member.state.store.compactRevision >= modRevision;
      if (before !== undefined && !isCompacted) this.#complain(`was not given what ${key}@${modRevision} follows`);
    } else if (prevKv.value.toString('latin1') !== before?.value || prevKv.modRevision !== before.modRevision) {
      this.#complain(`was given ${prevKv.value}@${prevKv.modRevision} as what ${key}@${modRevision} follows`);
    }
  }

  #complain(text: string): void {
    const { name, scheduler } = this.#options;
    const host = this.#visit?.host.name ?? 'nowhere';
    scheduler.fail(new Error(`${name} (${JSON.stringify(this.#shape)}, next ${this.#next}, on ${host}) ${text}`));
  }
}

function isEventOf({ type, kv }: Event, change: Change): boolean {
  const isDelete = type === EventEventType.DELETE;
  return isDelete === (change.type === 'delete') && KeyValue.encode(kv!).equals(change.record);
}
