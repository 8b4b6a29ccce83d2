/** The grpc-timeout header: up to eight digits and a unit. */

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };

/** Milliseconds a grpc-timeout header stands for, fractions allowed; undefined when it is malformed. */
export function parseTimeoutMs(header: string): number | undefined {
  if (!/^\d{1,8}[HMSmun]$/.test(header)) return undefined;
  const unit = unitMs[header.slice(-1)];
  return unit === undefined ? undefined : Number(header.slice(0, -1)) * unit;
}
