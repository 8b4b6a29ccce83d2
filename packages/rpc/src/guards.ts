/**
 * The checks etcd makes before any handler (api/v3rpc/interceptor.go): the learner gate, the client's API version, and clients
 * that want to be refused by a member without a leader.
 */
import { isUtf8 } from 'node:buffer';
import type { Clock, Counter, Meter, Timer } from '@quorate/base';
import { KvError, type RangeRequest, services } from '@quorate/proto';
import type { CallGuard, StreamKeeper } from './instrument.ts';
import type { ServerCall } from './service.ts';

const statusPath = services.maintenance.methods.status.path;
const snapshotPath = services.maintenance.methods.snapshot.path;
const rangePath = services.kv.methods.range.path;

/** Lets a learner serve only its status, its snapshot and serializable reads. */
export function learnerGuard(isLearner: () => boolean): CallGuard {
  return (_call, { path }, request) => {
    if (!isLearner() || path === statusPath || path === snapshotPath) return undefined;
    if (path === rangePath && (request as RangeRequest).serializable) return undefined;
    return new KvError('learner');
  };
}

/** Clients choose what they call their version; beyond this many, the rest is counted as "other". */
const versionsMax = 64;

/** Counts calls by the client's API version in `etcd_server_client_requests_total`; refuses versions that are no text. */
export function clientVersionGuard(meter: Meter): CallGuard {
  const counters = { unary: new Map<string, Counter>(), stream: new Map<string, Counter>() };
  const counterOf = (type: 'unary' | 'stream', version: string): Counter => {
    const known = counters[type].get(version);
    if (known !== undefined) return known;
    if (counters[type].size >= versionsMax && version !== 'other') return counterOf(type, 'other');
    const counter = meter.counter({
      name: 'etcd_server_client_requests_total',
      help: 'The total number of client requests per client version.',
      labels: { type, client_api_version: version },
    });
    counters[type].set(version, counter);
    return counter;
  };
  return (call, { kind }) => {
    const version = call.metadata.get('client-api-version') ?? 'unknown';
    if (!isUtf8(Buffer.from(version, 'latin1'))) return new KvError('invalidClientApiVersion');
    counterOf(kind === 'unary' ? 'unary' : 'stream', version).add();
    return undefined;
  };
}

/** Checks without a leader after which streams are ended. More patient than with new calls, since reconnecting costs more. */
const leaderlessChecksMax = 3;

/**
 * For clients that send `hasleader: true`: refuses their calls while this member sees no leader, and ends their streams after
 * three election time-outs without one.
 */
export class LeaderMonitor implements StreamKeeper {
  readonly #clock: Clock;
  readonly #electionMs: number;
  readonly #hasLeader: () => boolean;
  readonly #ends = new Set<(error: KvError) => void>();
  #leaderless = 0;
  #timer: Timer | undefined;

  constructor(options: { readonly clock: Clock; readonly electionMs: number; readonly hasLeader: () => boolean }) {
    this.#clock = options.clock;
    this.#electionMs = options.electionMs;
    this.#hasLeader = options.hasLeader;
  }

  readonly guard: CallGuard = (call) => (wantsLeader(call) && !this.#hasLeader() ? new KvError('noLeader') : undefined);

  keep(call: ServerCall, end: (error: KvError) => void): (() => void) | undefined {
    if (!wantsLeader(call)) return undefined;
    this.#ends.add(end);
    return () => void this.#ends.delete(end);
  }

  start(): void {
    this.#timer = this.#clock.after(this.#electionMs, () => {
      this.#check();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #check(): void {
    this.#leaderless = this.#hasLeader() ? 0 : this.#leaderless + 1;
    if (this.#leaderless < leaderlessChecksMax) return;
    for (const end of [...this.#ends]) end(new KvError('noLeader'));
  }
}

function wantsLeader(call: ServerCall): boolean {
  return call.metadata.get('hasleader') === 'true';
}
