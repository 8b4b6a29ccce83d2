/**
 * Whole states between members, as they are watched and held back: one snapshot at a time goes to a member that lags, no faster than
 * the limit, so that what the leader does for its callers keeps its share of network, disk and CPU. Both sides count, and say every
 * few seconds how far they are: an operator who waits for a member wants to know whether it moves. What is in a snapshot, and how
 * it is put in place: snapshotter.ts.
 */
import type { Backend } from '@quorate/backend';
import {
  type Clock,
  type Counter,
  exponentialBuckets,
  formatId,
  type Histogram,
  type Logger,
  type MemberId,
  type Meter,
} from '@quorate/base';
import type { Message } from '@quorate/proto';
import type { PeerTransport, SnapshotChunks, StateStream } from './peer-transport.ts';
import type { Snapshotter } from './snapshotter.ts';

export interface SnapshotTransferOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly peers: Pick<PeerTransport, 'sendSnapshot'>;
  readonly snapshotter: Pick<Snapshotter, 'prepare' | 'receive'>;
  /** Most bytes a second that one snapshot is sent with; 0 for no limit. */
  readonly bytesPerSecond: number;
}

/** How often progress is logged, in milliseconds. */
const progressMs = 5_000;
/** What may go out at once: what a fiftieth of a second allows. */
const burstMs = 20;

type Direction = 'send' | 'receive';

/** One transfer under way. */
interface Progress {
  readonly peer: MemberId;
  readonly startedMs: number;
  readonly totalBytes: number;
  bytes: number;
  loggedMs: number;
}

export class SnapshotTransfer {
  readonly #options: SnapshotTransferOptions;
  readonly #series = new Map<string, Series>();
  readonly #running = { send: new Map<MemberId, Progress>(), receive: new Map<MemberId, Progress>() };

  constructor(options: SnapshotTransferOptions) {
    this.#options = options;
  }

  /** Sends the state of `backend` to the member the message is for. Rejects when the member did not take it. */
  async send(message: Message, backend: Backend): Promise<void> {
    const { peers, snapshotter } = this.#options;
    const totalBytes = backend.sizeInUseBytes();
    await this.#run('send', { peer: message.to, totalBytes }, async (progress) => {
      const { message: complete, chunks } = await snapshotter.prepare(message, backend);
      await peers.sendSnapshot(complete, this.#paced(this.#counted('send', progress, chunks)));
    });
  }

  /** The state of `backend` for a member that asks for it, with the message that says where it stands. */
  async open(message: Message, backend: Backend): Promise<StateStream> {
    const { message: complete, chunks } = await this.#options.snapshotter.prepare(message, backend);
    return { message: complete, chunks: this.#paced(chunks) };
  }

  /** Takes a state in; see {@link Snapshotter.receive}. */
  async receive(message: Message, chunks: SnapshotChunks, offer: () => Promise<boolean>): Promise<void> {
    await this.#run('receive', { peer: message.from, totalBytes: 0 }, (progress) =>
      this.#options.snapshotter.receive(message, this.#counted('receive', progress, chunks), offer),
    );
  }

  async #run(
    direction: Direction,
    { peer, totalBytes }: Pick<Progress, 'peer' | 'totalBytes'>,
    transfer: (progress: Progress) => Promise<void>,
  ): Promise<void> {
    const { clock, logger } = this.#options;
    const series = this.#seriesOf(direction, peer);
    const startedMs = clock.nowMs();
    const progress: Progress = { peer, totalBytes, startedMs, loggedMs: startedMs, bytes: 0 };
    this.#running[direction].set(peer, progress);
    try {
      await transfer(progress);
      series.success.add();
      series.seconds.observe((clock.nowMs() - startedMs) / 1_000);
      const facts = { peer: formatId(peer), bytes: progress.bytes, tookMs: Math.round(clock.nowMs() - startedMs) };
      logger.info(direction === 'send' ? 'sent a snapshot' : 'took in a snapshot', facts);
    } catch (error) {
      series.failures.add();
      throw error;
    } finally {
      if (this.#running[direction].get(peer) === progress) this.#running[direction].delete(peer);
    }
  }

  async *#counted(direction: Direction, progress: Progress, chunks: SnapshotChunks): AsyncGenerator<Buffer> {
    const { clock, logger } = this.#options;
    for await (const chunk of chunks) {
      progress.bytes += chunk.length;
      const nowMs = clock.nowMs();
      if (nowMs - progress.loggedMs >= progressMs) {
        progress.loggedMs = nowMs;
        const { peer, bytes, totalBytes, startedMs } = progress;
        const of = totalBytes === 0 ? {} : { ofAbout: totalBytes };
        const facts = { peer: formatId(peer), bytes, ...of, sinceMs: Math.round(nowMs - startedMs) };
        logger.info(direction === 'send' ? 'sending a snapshot' : 'receiving a snapshot', facts);
      }
      yield chunk;
    }
  }

  /** A chunk goes out when those before it have had their time, less what may go at once. */
  async *#paced(chunks: SnapshotChunks): AsyncGenerator<Buffer> {
    const { clock, bytesPerSecond } = this.#options;
    if (bytesPerSecond === 0) {
      yield* chunks;
      return;
    }
    let dueMs = clock.nowMs();
    for await (const chunk of chunks) {
      const earlyMs = dueMs - burstMs - clock.nowMs();
      if (earlyMs > 0) await new Promise<void>((resolve) => clock.after(earlyMs, resolve));
      yield chunk;
      dueMs = Math.max(dueMs, clock.nowMs()) + (chunk.length * 1_000) / bytesPerSecond;
    }
  }

  #seriesOf(direction: Direction, peer: MemberId): Series {
    const name = `${direction} ${peer}`;
    const known = this.#series.get(name);
    if (known !== undefined) return known;
    const running = this.#running[direction];
    const made = makeSeries(this.#options.meter, { direction, peer, progress: () => running.get(peer) });
    this.#series.set(name, made);
    return made;
  }
}

interface Series {
  readonly success: Counter;
  readonly failures: Counter;
  readonly seconds: Histogram;
}

/** Etcd's names and labels, and one of our own for how far the one under way is. */
function makeSeries(
  meter: Meter,
  of: { readonly direction: Direction; readonly peer: MemberId; readonly progress: () => Progress | undefined },
): Series {
  const { direction, peer, progress } = of;
  const names = seriesNames[direction];
  const labels = { [names.label]: formatId(peer) };
  const whole = `snapshot ${direction}`;
  meter.observedGauge({ name: names.inflights, help: `Total number of inflight ${whole}s`, labels }, () =>
    progress() === undefined ? 0 : 1,
  );
  meter.observedGauge({ name: names.bytes, help: `Bytes of the ${whole} that is under way`, labels }, () => {
    return progress()?.bytes ?? 0;
  });
  return {
    success: meter.counter({ name: names.success, help: `Total number of successful ${whole}s`, labels }),
    failures: meter.counter({ name: names.failures, help: `Total number of ${whole} failures`, labels }),
    seconds: meter.histogram(
      { name: names.seconds, help: `Total latency distributions of v3 ${whole}s`, labels },
      exponentialBuckets(0.1, 2, 10),
    ),
  };
}

const seriesNames = {
  send: {
    label: 'To',
    inflights: 'etcd_network_snapshot_send_inflights_total',
    success: 'etcd_network_snapshot_send_success',
    failures: 'etcd_network_snapshot_send_failures',
    seconds: 'etcd_network_snapshot_send_total_duration_seconds',
    bytes: 'quorate_snapshot_send_bytes',
  },
  receive: {
    label: 'From',
    inflights: 'etcd_network_snapshot_receive_inflights_total',
    success: 'etcd_network_snapshot_receive_success',
    failures: 'etcd_network_snapshot_receive_failures',
    seconds: 'etcd_network_snapshot_receive_total_duration_seconds',
    bytes: 'quorate_snapshot_receive_bytes',
  },
} as const;
