/**
 * The counters of one RPC, under the names of Go's Prometheus interceptor. All series exist from the start with 0, as on etcd:
 * a rate over a series that appears with its first error shows nothing.
 */
import type { Clock, Counter, Histogram, Meter } from '@quorate/base';
import { goStatusName, Status, type StatusCode } from '@quorate/proto';
import type { MethodKind, ServiceMethod } from './service.ts';
import { splitPath } from './service-table.ts';

const goKinds: Readonly<Record<MethodKind, string>> = {
  unary: 'unary',
  clientStream: 'client_stream',
  serverStream: 'server_stream',
  bidi: 'bidi_stream',
};

// The default buckets of Prometheus clients, which Go's interceptor uses.
const handlingBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const codes: readonly StatusCode[] = Object.values(Status);

export class MethodStats {
  readonly received: Counter;
  readonly sent: Counter;
  readonly #started: Counter;
  /** By status code. */
  readonly #handled: readonly Counter[];
  readonly #seconds: Histogram | undefined;
  readonly #clock: Clock | undefined;

  /** With a clock, the time of every call is observed too. */
  constructor(method: ServiceMethod, meter: Meter, clock: Clock | undefined) {
    const { service = '', method: name = '' } = splitPath(method.path) ?? {};
    const labels = { grpc_type: goKinds[method.kind], grpc_service: service, grpc_method: name };
    const counter = (metric: string, help: string): Counter => meter.counter({ name: metric, help, labels });
    this.#started = counter('grpc_server_started_total', 'Total number of RPCs started on the server.');
    this.received = counter(
      'grpc_server_msg_received_total',
      'Total number of RPC stream messages received on the server.',
    );
    this.sent = counter('grpc_server_msg_sent_total', 'Total number of gRPC stream messages sent by the server.');
    const help = 'Total number of RPCs completed on the server, regardless of success or failure.';
    this.#handled = codes.map((code) =>
      meter.counter({ name: 'grpc_server_handled_total', help, labels: { ...labels, grpc_code: goStatusName(code) } }),
    );
    this.#clock = clock;
    if (clock === undefined) return;
    this.#seconds = meter.histogram(
      {
        name: 'grpc_server_handling_seconds',
        help: 'Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.',
        labels,
      },
      handlingBuckets,
    );
  }

  /** Counts a start; the result goes into {@link end}. */
  begin(): number {
    this.#started.add();
    return this.#clock === undefined ? 0 : this.#clock.nowMs();
  }

  end(code: StatusCode, beganMs: number): void {
    this.#handled[code]?.add();
    if (this.#clock !== undefined) this.#seconds?.observe((this.#clock.nowMs() - beganMs) / 1000);
  }
}
