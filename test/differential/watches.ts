/**
 * The watches of a sequence at one server. When a watch has been given everything follows from the events of the journal, a watch
 * of all keys that is open all the time: so nobody has to wait for nothing to come.
 */
import {
  type Event,
  EventEventType,
  services,
  WatchCancelRequest,
  WatchCreateRequest,
  WatchCreateRequestFilterType,
  WatchProgressRequest,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import { waitFor } from '../support/kvd-process.ts';
import { type Names, textOf } from './text.ts';
import { Wire, type WireStream } from './wire.ts';

/** So long something that is due may take to come; after that the answers are compared as they are. */
const patienceMs = 3_000;
const noWatch = -1n;

/** One Watch stream and all it answered. */
class Channel {
  readonly responses: WatchResponse[] = [];
  ended: string | undefined;
  readonly #stream: WireStream;
  #waiting: { readonly isDue: () => boolean; readonly done: () => void } | undefined;

  constructor(wire: Wire) {
    this.#stream = wire.stream(services.watch.methods.watch.path, {
      onMessage: (bytes) => {
        this.responses.push(WatchResponse.decode(bytes));
        this.#wake();
      },
      onEnd: ({ code, message }) => {
        this.ended = `${code} ${message}`;
        this.#wake();
      },
    });
  }

  send(init: Partial<WatchRequest>): void {
    this.#stream.write(WatchRequest.encode(WatchRequest.create(init)));
  }

  /** Resolves when `holds`, when the stream has ended, or when patience has. One at a time. */
  until(holds: () => boolean): Promise<void> {
    if (holds() || this.ended !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(limit);
        this.#waiting = undefined;
        resolve();
      };
      const limit = setTimeout(done, patienceMs);
      this.#waiting = { isDue: holds, done };
    });
  }

  #wake(): void {
    if (this.#waiting !== undefined && (this.ended !== undefined || this.#waiting.isDue())) this.#waiting.done();
  }
}

/** Everything that happens to any key, as it happens. */
export class Journal {
  readonly #channel: Channel;
  #events: Event[] = [];
  #revision = 0;
  #taken = 0;

  constructor(wire: Wire) {
    this.#channel = new Channel(wire);
    const all = Buffer.from([0]);
    this.#channel.send({ createRequest: WatchCreateRequest.create({ key: all, rangeEnd: all, prevKv: true }) });
  }

  ready(): Promise<void> {
    return this.#channel.until(() => this.#channel.responses.length > 0);
  }

  /** Events since the last {@link forget}. */
  get events(): readonly Event[] {
    return this.#events;
  }

  /** Waits for the events of `revision`, the store's current one. */
  async reach(revision: number): Promise<void> {
    await this.#channel.until(() => this.#take() >= revision);
  }

  /** Forgets what happened before `revision`. */
  forget(revision: number): void {
    this.#events = this.#events.filter(({ kv }) => kv!.modRevision >= revision);
  }

  #take(): number {
    const { responses } = this.#channel;
    for (; this.#taken < responses.length; this.#taken++) {
      const { events } = responses[this.#taken]!;
      this.#events.push(...events);
      this.#revision = events.at(-1)?.kv?.modRevision ?? this.#revision;
    }
    responses.length = 0;
    this.#taken = 0;
    return this.#revision;
  }
}

interface Watch {
  readonly id: bigint;
  readonly request: WatchCreateRequest;
  /** First revision it is given. */
  readonly from: number;
  /** Whether it began below the compact revision, so that it is cancelled. */
  readonly isTooLate: boolean;
  /** Whether it may not have caught up yet, though it is due nothing. */
  mayBeBehind: boolean;
  /** Responses of its stream when it was created: older ones belong to an earlier watch of the same id. */
  readonly since: number;
  open: boolean;
}

/** One stream's watches. */
class Group {
  readonly channel: Channel;
  readonly watches: Watch[] = [];
  createdCount = 0;
  /** Whether it is left alone because one of its watches began too late: see {@link Watches.create}. */
  spent = false;
  progressCount = 0;

  constructor(wire: Wire) {
    this.channel = new Channel(wire);
  }

  responsesOf(watch: Watch): WatchResponse[] {
    return this.channel.responses.filter(({ watchId }, i) => watchId === watch.id && i >= watch.since);
  }
}

/** Watches on some streams; all are gone after {@link close}. */
export class Watches {
  readonly #endpoint: string;
  /** A connection for each sequence: its end takes all streams with it, and etcd suffers only so many resets of streams. */
  #wire: Wire | undefined;
  readonly #journal: Journal;
  readonly #groups: { readonly stream: number; readonly group: Group }[] = [];

  constructor(endpoint: string, journal: Journal) {
    this.#endpoint = endpoint;
    this.#journal = journal;
  }

  /**
   * Returns what the server answered to the request itself. A stream one of whose watches was cancelled by compaction is left
   * alone: etcd keeps the id of such a watch taken, and answers no request for progress on its stream any more.
   */
  async create(
    stream: number,
    request: WatchCreateRequest,
    revisions: { readonly current: number; readonly compacted: number },
    names: Names,
  ): Promise<string> {
    const group = this.#group(stream);
    const { channel } = group;
    const since = channel.responses.length;
    const due = ++group.createdCount;
    const answers = (): WatchResponse[] => channel.responses.filter(({ created }) => created);
    channel.send({ createRequest: request });
    await channel.until(() => answers().length >= due);
    const answer = answers()[due - 1];
    if (answer === undefined) return `nothing ${channel.ended ?? ''}`;
    if (!answer.canceled) {
      const from = request.startRevision === 0 ? revisions.current + 1 : request.startRevision;
      const isTooLate = from < revisions.compacted;
      group.watches.push({
        id: answer.watchId,
        request,
        from,
        isTooLate,
        since,
        open: true,
        mayBeBehind: request.startRevision > 0,
      });
      group.spent = isTooLate;
    }
    return textOf(WatchResponse, answer, names);
  }

  /** Waits until every watch has been given what there is for it up to `revision`. */
  async settle(revision: number): Promise<void> {
    if (this.#open().length === 0) return;
    await this.#journal.reach(revision);
    for (const { group } of this.#groups) await this.#settleGroup(group);
  }

  /** As {@link settle}, and until no watch is behind. What a watch was given does not show that when it was due nothing. */
  async catchUp(revision: number): Promise<void> {
    await this.settle(revision);
    const behind = this.#open().filter(({ mayBeBehind }) => mayBeBehind);
    if (behind.length === 0) return;
    await waitFor('watches to catch up', patienceMs, async () => {
      const answer = await fetch(`http://${this.#endpoint}/metrics`);
      const slow = /^etcd_debugging_mvcc_slow_watcher_total (\d+)$/m.exec(await answer.text());
      return slow?.[1] === '0' ? true : undefined;
    });
    for (const watch of behind) watch.mayBeBehind = false;
  }

  /** Cancels the n-th watch of a stream, or an id nobody has for -1. */
  async cancel(stream: number, index: number, names: Names): Promise<string> {
    const group = this.#find(stream);
    if (group === undefined) return 'no stream';
    const watch = group.watches[index];
    const watchId = watch?.id ?? 77n;
    group.channel.send({ cancelRequest: WatchCancelRequest.create({ watchId }) });
    if (watch === undefined || !watch.open) return 'no watch';
    watch.open = false;
    const answer = (): WatchResponse | undefined => group.responsesOf(watch).find(({ canceled }) => canceled);
    await group.channel.until(() => answer() !== undefined);
    const found = answer();
    return found === undefined ? 'nothing' : textOf(WatchResponse, found, names);
  }

  /** Asks how far the stream is; call it when all is settled. */
  async progress(stream: number, revision: number, names: Names): Promise<string> {
    const group = this.#find(stream);
    if (group === undefined) return 'no stream';
    const open = group.watches.filter((watch) => watch.open);
    // Where one waits for a revision to come, etcd forgets the request, and kvd answers when it has come.
    if (!open.every(({ request }) => request.startRevision <= revision)) return 'not asked';
    group.channel.send({ progressRequest: WatchProgressRequest.create() });
    if (open.length === 0) return 'none due';
    const due = ++group.progressCount;
    const answers = (): WatchResponse[] =>
      group.channel.responses.filter(
        ({ watchId, created, events }) => watchId === noWatch && !created && events.length === 0,
      );
    await group.channel.until(() => answers().length >= due);
    const found = answers()[due - 1];
    return found === undefined ? 'nothing' : textOf(WatchResponse, found, names);
  }

  /** Everything each watch was told. With `whole`, response by response; else only the events, in order. */
  history(names: Names, whole: boolean): string[] {
    return this.#groups.flatMap(({ stream, group }) => {
      const { responses, ended } = group.channel;
      const ids = [...new Set(responses.map(({ watchId }) => watchId))].sort((a, b) => (a < b ? -1 : 1));
      const lines = ids.flatMap((id) => {
        const own = responses.filter(({ watchId }) => watchId === id);
        return own
          .flatMap((one) => responseLines(one, names, whole))
          .map((line) => `stream ${stream} watch ${id}: ${line}`);
      });
      return ended === undefined ? lines : [...lines, `stream ${stream} ended: ${ended}`];
    });
  }

  /** Ends all watches, first one by one so that nothing is on its way, then their streams. */
  async close(): Promise<void> {
    for (const { group } of this.#groups) {
      const { channel, watches } = group;
      const open = watches.filter((watch) => watch.open);
      for (const { id } of open) channel.send({ cancelRequest: WatchCancelRequest.create({ watchId: id }) });
      await channel.until(() => open.every((watch) => group.responsesOf(watch).some(({ canceled }) => canceled)));
    }
  }

  reset(): void {
    this.#groups.length = 0;
    this.#wire?.close();
    this.#wire = undefined;
  }

  #open(): Watch[] {
    return this.#groups.flatMap(({ group }) => group.watches.filter(({ open }) => open));
  }

  #find(stream: number): Group | undefined {
    return this.#groups.find((one) => one.stream === stream && !one.group.spent)?.group;
  }

  #group(stream: number): Group {
    const found = this.#find(stream);
    if (found !== undefined) return found;
    this.#wire ??= new Wire(this.#endpoint);
    const group = new Group(this.#wire);
    this.#groups.push({ stream, group });
    return group;
  }

  async #settleGroup(group: Group): Promise<void> {
    const open = group.watches.filter((watch) => watch.open);
    if (open.length === 0) return;
    const dues = open.map((watch) => ({ watch, count: watch.isTooLate ? 0 : this.#dueTo(watch) }));
    await group.channel.until(() =>
      dues.every(({ watch, count }) => {
        const own = group.responsesOf(watch);
        if (watch.isTooLate) return own.some(({ canceled }) => canceled);
        return own.reduce((sum, { events }) => sum + events.length, 0) >= count;
      }),
    );
    for (const watch of open) if (watch.isTooLate) watch.open = false;
  }

  #dueTo({ request, from }: Watch): number {
    const { NOPUT, NODELETE } = WatchCreateRequestFilterType;
    const noPut = request.filters.includes(NOPUT);
    const noDelete = request.filters.includes(NODELETE);
    const key = request.key.length === 0 ? Buffer.from([0]) : request.key;
    const end = request.rangeEnd;
    const isOpen = end.length === 1 && end[0] === 0;
    return this.#journal.events.filter(({ type, kv }) => {
      if (kv!.modRevision < from || (type === EventEventType.PUT ? noPut : noDelete)) return false;
      if (end.length === 0) return kv!.key.equals(key);
      return kv!.key.compare(key) >= 0 && (isOpen || kv!.key.compare(end) < 0);
    }).length;
  }
}

function responseLines(response: WatchResponse, names: Names, whole: boolean): string[] {
  if (whole || response.created || response.canceled || response.events.length === 0) {
    return [textOf(WatchResponse, response, names)];
  }
  const last = response.events.at(-1)!.kv!.modRevision;
  const isBehind = (response.header?.revision ?? 0) < last;
  const bare = response.events.map((event) => textOf(WatchResponse, WatchResponse.create({ events: [event] }), names));
  return isBehind ? [...bare, `the header is behind: ${response.header?.revision} < ${last}`] : bare;
}
