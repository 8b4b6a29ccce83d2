import { type MemberId, SeededRandom } from '@quorate/base';
import { ConfState, EntryType, Message, MessageType } from '@quorate/proto';
import { quietContext } from '@quorate/raft';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { ManualClock } from './testing/manual-clock.ts';
import { ThriftyAppends } from './thrifty-appends.ts';

const { MSG_APP, MSG_APP_RESP, MSG_HEARTBEAT, MSG_PROP, MSG_READ_INDEX, MSG_READ_INDEX_RESP } = MessageType;

/** What reaches a follower, in short: the first and last index of an append, or the commit index of one that has none. */
function told({ type, entries, commit }: Message): string {
  if (type !== MSG_APP) return type === MSG_HEARTBEAT ? 'heartbeat' : 'answer to a read';
  if (entries.length === 0) return `commit ${commit}`;
  const [first, last] = [entries[0]!.index, entries.at(-1)!.index];
  return first === last ? `${first}` : `${first}-${last}`;
}

/** Member 1, which leads `others` and writes to each what raft would. */
class Leader {
  readonly clock = new ManualClock();
  readonly confState: ConfState;
  readonly others: readonly MemberId[];
  /** What left, by follower. */
  readonly left = new Map<MemberId, Message[]>();
  readonly appends: ThriftyAppends;
  lastIndex = 0;
  committedIndex = 0;

  constructor(others: readonly MemberId[] = [2n, 3n], confState: Partial<ConfState> = {}) {
    this.others = others;
    this.confState = ConfState.create({ voters: [1n, ...others], ...confState });
    const core = this;
    this.appends = new ThriftyAppends({
      memberId: 1n,
      clock: this.clock,
      rawNode: {
        confState: () => core.confState,
        get committedIndex() {
          return core.committedIndex;
        },
      },
      send: (messages) => this.#leave(messages),
    });
    for (const id of others) this.left.set(id, []);
  }

  append(bytes = 300): void {
    const index = this.lastIndex++;
    const entry = { term: 1, index: index + 1, type: EntryType.ENTRY_NORMAL, data: Buffer.alloc(bytes) };
    this.#pass({ type: MSG_APP, index, logTerm: 1, entries: [entry], commit: this.committedIndex });
  }

  /** The last entry is committed: all are told. */
  commit(): void {
    this.committedIndex = this.lastIndex;
    const { lastIndex: index, committedIndex: commit } = this;
    this.#pass({ type: MSG_APP, index, logTerm: 1, commit, context: quietContext });
  }

  say(type: number, to: MemberId): void {
    this.#leave(this.appends.pass([Message.create({ type, to, from: 1n, term: 1 })]));
  }

  acknowledge(...from: readonly MemberId[]): void {
    for (const id of from) this.hear({ type: MSG_APP_RESP, from: id, index: this.lastIndex });
  }

  hear(message: Partial<Message>): void {
    this.appends.heard(Message.create({ to: 1n, term: 1, ...message }));
  }

  /** One put of a caller who asks again after `afterMs`; those in `quickest` answer, in this order. */
  put(quickest: readonly MemberId[] = [2n, 3n], afterMs = 0.5): void {
    this.append();
    this.acknowledge(1n, ...quickest);
    this.commit();
    this.clock.advance(afterMs);
  }

  /** Puts that follow each other closely until nobody is sent more than needed. What waits is the last of them. */
  settle(quickest?: readonly MemberId[]): this {
    for (let i = 0; i < 10; i++) this.put(quickest);
    for (const id of this.others) this.say(MSG_READ_INDEX_RESP, id);
    this.put(quickest);
    this.take();
    return this;
  }

  /** What left since the last time, in short, in the order of the followers. */
  take(): string[][] {
    return this.others.map((id) => this.left.get(id)!.splice(0).map(told));
  }

  #pass(message: Partial<Message>): void {
    this.#leave(this.appends.pass(this.others.map((to) => Message.create({ ...message, to, from: 1n, term: 1 }))));
  }

  #leave(messages: readonly Message[]): void {
    for (const message of messages) this.left.get(message.to)!.push(message);
  }
}

describe('appends that follow each other closely', () => {
  test('go to whoever was quickest, with the commit index before; the other gets several at once', () => {
    const leader = new Leader().settle([3n, 2n]);
    const from = leader.lastIndex;
    for (let i = 0; i < 5; i++) leader.put([3n]);
    const [second, third] = leader.take();
    expect(third).toEqual([1, 2, 3, 4, 5].map((i) => `${from + i}`));
    expect(second).toEqual([]);
    leader.clock.advance(2.5);
    expect(leader.take()).toEqual([[`${from}-${from + 5}`], []]);
    leader.clock.advance(2.5);
    expect(leader.take()).toEqual([[], [`commit ${from + 5}`]]);
  });

  test('go to two of four followers', () => {
    const leader = new Leader([2n, 3n, 4n, 5n]).settle([5n, 3n, 2n, 4n]);
    leader.put([5n, 3n]);
    expect(leader.take().map((messages) => messages.length)).toEqual([0, 1, 0, 1]);
  });

  test('go to the others after 5 ms when nobody answers, and soon only to whoever does', () => {
    const leader = new Leader().settle([3n, 2n]);
    leader.say(MSG_READ_INDEX_RESP, 2n);
    leader.append();
    leader.take();
    leader.clock.advance(6);
    expect(leader.take()[0]).toEqual([`${leader.lastIndex}`]);
    leader.acknowledge(2n);
    leader.commit();
    for (let i = 0; i < 10; i++) leader.put([2n]);
    leader.take();
    leader.append();
    expect(leader.take().map((messages) => messages.length)).toEqual([1, 0]);
  });

  test('go to everyone once in 64, and then to whoever was quickest', () => {
    const leader = new Leader().settle([3n, 2n]);
    let puts = 0;
    do {
      leader.take();
      leader.put([2n, 3n]);
      puts++;
    } while (!leader.take()[0]!.includes(`${leader.lastIndex}`) && puts < 100);
    expect(puts).toBeLessThanOrEqual(64);
    leader.take();
    leader.append();
    expect(leader.take().map((messages) => messages.length)).toEqual([1, 0]);
  });

  test('spare a follower nothing for 100 ms after its own callers asked', () => {
    for (const type of [MSG_PROP, MSG_READ_INDEX]) {
      const leader = new Leader().settle([3n, 2n]);
      leader.hear({ type, from: 2n });
      leader.put();
      const { lastIndex } = leader;
      expect(leader.take()[0]).toEqual([`${lastIndex - 1}-${lastIndex}`, `commit ${lastIndex}`]);
      for (let i = 0; i < 220; i++) leader.put([3n, 2n]);
      leader.take();
      leader.put([3n]);
      expect(leader.take()[0]).toEqual([]);
    }
  });

  test('a heartbeat leaves what waits behind, anything else to the same follower takes it along', () => {
    const leader = new Leader().settle([3n, 2n]);
    leader.say(MSG_HEARTBEAT, 2n);
    expect(leader.take()[0]).toEqual(['heartbeat']);
    leader.say(MSG_READ_INDEX_RESP, 2n);
    expect(leader.take()[0]).toEqual([`${leader.lastIndex}`, 'answer to a read']);
  });

  test('what waits is dropped with the leadership', () => {
    const leader = new Leader().settle([3n, 2n]);
    leader.put([3n]);
    leader.take();
    leader.appends.reset();
    leader.clock.advance(100);
    expect(leader.take()).toEqual([[], []]);
  });
});

describe('everything leaves at once', () => {
  const whole = (leader: Leader): void => {
    leader.append();
    leader.acknowledge(2n);
    leader.commit();
    const { lastIndex } = leader;
    expect(leader.take()).toEqual(leader.others.map(() => [`${lastIndex}`, `commit ${lastIndex}`]));
  };

  test('while appends are 5 ms apart', () => {
    const leader = new Leader();
    for (let i = 0; i < 30; i++) {
      whole(leader);
      leader.clock.advance(5);
    }
  });

  test('before eight appends have followed each other closely, and again after a pause', () => {
    const leader = new Leader();
    for (let i = 0; i < 8; i++) {
      whole(leader);
      leader.clock.advance(0.5);
    }
    leader.settle();
    leader.clock.advance(6);
    leader.take();
    whole(leader);
  });

  test('after a large append', () => {
    const leader = new Leader().settle([3n, 2n]);
    leader.append(5_000);
    leader.take();
    leader.acknowledge(3n);
    leader.commit();
    expect(leader.take()[0]).toEqual([`commit ${leader.lastIndex}`]);
  });

  test('to voters of two configurations', () => {
    const leader = new Leader([2n, 3n], { votersOutgoing: [1n, 2n] });
    leader.settle([3n, 2n]);
    leader.append();
    expect(leader.take().map((messages) => messages.length)).toEqual([1, 1]);
  });
});

test('a rest too small for the fractions of the clock is waited for once', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const leader = new Leader().settle([3n, 2n]);
    const timers = vi.spyOn(leader.clock, 'after');
    timers.mockImplementation((delayMs, fn) => {
      if (timers.mock.calls.length > 1_000) throw new Error(`comes round again and again, after ${delayMs} ms`);
      return ManualClock.prototype.after.call(leader.clock, delayMs, fn);
    });
    for (let i = 0; i < 100; i++) {
      leader.put([3n], (1 + random.below(1e9)) / 1e9);
      if (random.below(8) === 0) leader.say(MSG_READ_INDEX_RESP, 2n);
    }
  }
});

test('a follower gets the same log in the same order, and nothing later than after 6 ms', () => {
  const either = fc.constantFrom(2n, 3n);
  const others = [MSG_HEARTBEAT, MSG_READ_INDEX_RESP];
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), bytes: fc.constantFrom(10, 300, 5_000) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('answer' as const), from: either }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('rest' as const), ms: fc.constantFrom(0.1, 0.5, 2, 6) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('ask' as const), from: either }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('say' as const), type: fc.constantFrom(...others), to: either }),
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const leader = new Leader();
      const followers = leader.others.map((id) => ({ id, last: 0, commit: 0 }));
      /** When each index, and each commit index, was given to be sent. */
      const writtenMs: number[] = [];
      const committedMs: number[] = [];
      const deliver = (): void => {
        const nowMs = leader.clock.nowMs();
        for (const follower of followers) {
          for (const { type, index, entries, commit } of leader.left.get(follower.id)!.splice(0)) {
            if (type !== MSG_APP) continue;
            expect(index).toBe(follower.last);
            for (const entry of entries) expect(entry.index).toBe(++follower.last);
            expect(commit).toBeGreaterThanOrEqual(follower.commit);
            follower.commit = commit;
          }
          const [nextMs, nextCommitMs] = [writtenMs[follower.last], committedMs[follower.commit]];
          if (nextMs !== undefined) expect(nowMs - nextMs).toBeLessThan(6);
          if (nextCommitMs !== undefined) expect(nowMs - nextCommitMs).toBeLessThan(6);
        }
      };
      for (const one of steps) {
        const nowMs = leader.clock.nowMs();
        if (one.kind === 'put') {
          writtenMs.push(nowMs);
          leader.append(one.bytes);
        } else if (one.kind === 'commit') {
          while (committedMs.length < leader.lastIndex) committedMs.push(nowMs);
          leader.commit();
        } else if (one.kind === 'answer') leader.acknowledge(one.from);
        else if (one.kind === 'ask') leader.hear({ type: MSG_PROP, from: one.from });
        else if (one.kind === 'say') leader.say(one.type, one.to);
        else leader.clock.advance(one.ms);
        deliver();
      }
      leader.clock.advance(6);
      deliver();
      for (const { last, commit } of followers) {
        expect(last).toBe(leader.lastIndex);
        expect(commit).toBe(leader.committedIndex);
      }
    }),
    { numRuns: 300 },
  );
});
