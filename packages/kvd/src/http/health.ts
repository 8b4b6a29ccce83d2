/**
 * /health, as etcd answers it: alarms first, then whether there is a leader, then a read. `?serializable=true` asks this member
 * alone; `?exclude=NOSPACE` (repeatable) overlooks an alarm. Load balancers and probes read it, so its bytes are etcd's. With
 * `?verbose`, which etcd does not know, it also says how full the store is.
 */
import type { ServerResponse } from 'node:http';
import type { Counter, Logger, Meter } from '@quorate/base';
import { AlarmType } from '@quorate/proto';
import type { HealthSource } from './health-source.ts';
import { errorText, isGet, plainText, problemText } from './respond.ts';

const alarmNames: ReadonlyMap<number, string> = new Map(
  Object.entries(AlarmType).map(([name, value]) => [value, name] as const),
);

export class HealthEndpoint {
  readonly #source: HealthSource;
  readonly #logger: Logger;
  readonly #successes: Counter;
  readonly #failures: Counter;

  constructor(source: HealthSource, meter: Meter, logger: Logger) {
    this.#source = source;
    this.#logger = logger;
    this.#successes = meter.counter({
      name: 'etcd_server_health_success',
      help: 'The total number of successful health checks',
    });
    this.#failures = meter.counter({
      name: 'etcd_server_health_failures',
      help: 'The total number of failed health checks',
    });
  }

  async serve(method: string | undefined, query: URLSearchParams, response: ServerResponse): Promise<void> {
    if (!isGet(method, response)) return;
    const reason = await this.#problem(query);
    const answer = { health: reason === '' ? 'true' : 'false', reason };
    const body = JSON.stringify(query.has('verbose') ? { ...answer, space: this.#source.space() } : answer);
    if (reason === '') {
      this.#successes.add();
      plainText(response, 200, body);
    } else {
      this.#failures.add();
      this.#logger.warn('serving /health false', { reason });
      errorText(response, 503, body);
    }
  }

  /** What is wrong, in etcd's words; empty when nothing is. */
  async #problem(query: URLSearchParams): Promise<string> {
    const excluded = new Set(query.getAll('exclude'));
    for (const alarm of this.#source.alarms()) {
      const name = alarmNames.get(alarm) ?? 'UNKNOWN';
      if (!excluded.has(name)) return `ALARM ${name}`;
    }
    const serializable = query.get('serializable') === 'true';
    if (!serializable && !this.#source.hasLeader()) return 'RAFT NO LEADER';
    try {
      await (serializable ? this.#source.serializableRead() : this.#source.linearizableRead());
      return '';
    } catch (error) {
      return `RANGE ERROR:${problemText(error)}`;
    }
  }
}
