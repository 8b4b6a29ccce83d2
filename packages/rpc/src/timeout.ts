/** The grpc-timeout header: up to eight digits and a unit. */

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };
const digitsMax = 8;

/**
 * Milliseconds a grpc-timeout header stands for, fractions allowed; undefined when it is malformed. Read digit by digit, since
 * clients with deadlines send another one with every call.
 */
export function parseTimeoutMs(header: string): number | undefined {
  const digits = header.length - 1;
  if (digits < 1 || digits > digitsMax) return undefined;
  let value = 0;
  for (let i = 0; i < digits; i++) {
    const digit = header.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  const unit = unitMs[header.charAt(digits)];
  return unit === undefined ? undefined : value * unit;
}
