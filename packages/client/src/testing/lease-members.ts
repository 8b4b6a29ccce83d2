/** Members that renew leases, for tests of the client: with the TTL a test wants, late, not at all, or no more. */
import { LeaseKeepAliveRequest, LeaseKeepAliveResponse, ResponseHeader, Status } from '@quorate/proto';
import type { FakeNetwork, FakeStream } from './fake-network.ts';
import type { VirtualClock } from './virtual-clock.ts';

export class LeaseMembers {
  /** Seconds by lease; those that are missing have ended. */
  readonly ttls: Map<bigint, number> = new Map();
  /** Until when each lease lives, by the members' reckoning. */
  readonly expiryMs: Map<bigint, number> = new Map();
  /** Members that take renewals and never answer. */
  readonly mute: Set<string> = new Set();
  /** How long an answer takes. */
  delayMs = 0;
  readonly renewals: { readonly endpoint: string; readonly id: bigint; readonly atMs: number }[] = [];
  readonly #clock: VirtualClock;
  readonly #streams = new Set<FakeStream>();

  constructor(network: FakeNetwork, clock: VirtualClock) {
    this.#clock = clock;
    network.serveStream = (stream) => this.#serve(stream);
  }

  get streams(): readonly FakeStream[] {
    return [...this.#streams];
  }

  /** `id@time` of every renewal. */
  get log(): string[] {
    return this.renewals.map(({ id, atMs }) => `${id}@${Math.round(atMs)}`);
  }

  cut(endpoint?: string, details = 'Connection dropped'): void {
    for (const stream of this.streams) {
      if (endpoint !== undefined && stream.endpoint !== endpoint) continue;
      this.#streams.delete(stream);
      stream.fail(Status.UNAVAILABLE, details);
    }
  }

  #serve(stream: FakeStream): void {
    this.#streams.add(stream);
    stream.onCancel = () => this.#streams.delete(stream);
    stream.onRequest = (bytes) => {
      const { id } = LeaseKeepAliveRequest.decode(bytes);
      const { endpoint } = stream;
      this.renewals.push({ endpoint, id, atMs: this.#clock.nowMs() });
      if (this.mute.has(endpoint)) return;
      const ttl = this.#renew(id);
      const answer = LeaseKeepAliveResponse.create({ header: ResponseHeader.create({ revision: 1 }), id, ttl });
      const send = (): void => stream.send(LeaseKeepAliveResponse.encode(answer));
      if (this.delayMs === 0) send();
      else this.#clock.after(this.delayMs, send);
    };
  }

  /** Seconds it was renewed for, 0 when it has ended. */
  #renew(id: bigint): number {
    const now = this.#clock.nowMs();
    if ((this.expiryMs.get(id) ?? Number.POSITIVE_INFINITY) <= now) this.ttls.delete(id);
    const ttl = this.ttls.get(id) ?? 0;
    this.expiryMs.set(id, now + ttl * 1_000);
    return ttl;
  }
}
