/**
 * /livez and /readyz with their single checks, `/readyz/<check>`: is this process worth keeping, is it ready for clients.
 * `?verbose` lists the checks of a success, failures always list them; `?exclude=<check>` leaves one out.
 */
import type { ServerResponse } from 'node:http';
import type { Gauge, Logger, Meter } from '@quorate/base';
import { AlarmType } from '@quorate/proto';
import type { HealthSource } from './health-source.ts';
import { errorText, isGet, plainText, problemText } from './respond.ts';

type CheckKind = 'livez' | 'readyz';

/** Passes by returning, fails by throwing (or rejecting) what is wrong. */
type Check = () => void | Promise<void>;

/** The checks of a member by endpoint and name. */
export function memberChecks(source: HealthSource): Readonly<Record<CheckKind, Readonly<Record<string, Check>>>> {
  const serializable_read = (): Promise<void> => source.serializableRead();
  return {
    livez: { serializable_read },
    readyz: {
      data_corruption: () => {
        if (source.alarms().includes(AlarmType.CORRUPT)) throw new Error('alarm activated: CORRUPT');
      },
      serializable_read,
      linearizable_read: () => source.linearizableRead(),
      non_learner: () => {
        if (source.isLearner()) throw new Error('not supported for learner');
      },
    },
  };
}

interface Outcome {
  readonly name: string;
  /** Undefined when it passed. */
  readonly problem: string | undefined;
}

/** One endpoint and its checks. */
export class ChecksEndpoint {
  readonly #kind: CheckKind;
  readonly #checks: ReadonlyMap<string, Check>;
  readonly #meter: Meter;
  readonly #logger: Logger;
  readonly #gauges = new Map<string, Gauge>();

  constructor(kind: CheckKind, checks: Readonly<Record<string, Check>>, meter: Meter, logger: Logger) {
    this.#kind = kind;
    this.#checks = new Map(Object.entries(checks));
    this.#meter = meter;
    this.#logger = logger;
    for (const name of this.#checks.keys()) {
      const labels = { type: kind, name };
      const help = 'The result of each kind of healthcheck.';
      this.#gauges.set(name, meter.gauge({ name: 'etcd_server_healthcheck', help, labels }));
      this.#count(name, 'success', 0);
      this.#count(name, 'error', 0);
    }
  }

  /** `path` is what follows the endpoint: '' for all checks, `/<name>` for one. */
  async serve(
    method: string | undefined,
    path: string,
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const names = this.#namesOf(path, query);
    if (names === undefined) {
      errorText(response, 404, '404 page not found');
      return;
    }
    if (!isGet(method, response)) return;
    const outcomes = await Promise.all(names.map((name) => this.#run(name)));
    const lines = outcomes.map(({ name, problem }) =>
      problem === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${problem}\n`,
    );
    if (outcomes.some(({ problem }) => problem !== undefined)) {
      errorText(response, 503, lines.join(''));
      return;
    }
    response.setHeader('X-Content-Type-Options', 'nosniff');
    plainText(response, 200, query.has('verbose') ? `${lines.join('')}ok\n` : 'ok\n');
  }

  #namesOf(path: string, query: URLSearchParams): string[] | undefined {
    if (path !== '') {
      const name = path.slice(1);
      return this.#checks.has(name) ? [name] : undefined;
    }
    const excluded = new Set(query.getAll('exclude'));
    return [...this.#checks.keys()].filter((name) => !excluded.has(name));
  }

  async #run(name: string): Promise<Outcome> {
    try {
      await this.#checks.get(name)?.();
      this.#record(name, true);
      return { name, problem: undefined };
    } catch (error) {
      const problem = problemText(error);
      this.#record(name, false);
      this.#logger.warn('health check failed', { path: `/${this.#kind}`, check: name, reason: problem });
      return { name, problem };
    }
  }

  #record(name: string, passed: boolean): void {
    this.#gauges.get(name)?.set(passed ? 1 : 0);
    this.#count(name, passed ? 'success' : 'error', 1);
  }

  #count(name: string, status: 'success' | 'error', amount: number): void {
    const help = 'The total number of each kind of healthcheck.';
    const labels = { type: this.#kind, name, status };
    this.#meter.counter({ name: 'etcd_server_healthchecks_total', help, labels }).add(amount);
  }
}
