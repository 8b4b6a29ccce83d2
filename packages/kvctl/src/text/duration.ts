/** Durations in Go's notation: `1m30s`, `2.5ms`. */
import type { ByteString } from './bytes.ts';
import { quote } from './quote.ts';

const nanosByUnit: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  '\xc2\xb5s': 1e3, // µ
  '\xce\xbcs': 1e3, // μ
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Text that is no duration; the message is Go's. */
export class DurationError extends Error {
  constructor(problem: string, text: ByteString) {
    super(`time: ${problem} duration ${quote(text)}`);
    this.name = 'DurationError';
  }
}

/** Milliseconds. Throws DurationError. */
export function parseDurationMs(text: ByteString): number {
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  let rest = text.slice(sign.length);
  if (rest === '0') return 0;
  if (rest === '') throw new DurationError('invalid', text);
  let nanos = 0;
  while (rest !== '') {
    const part = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest);
    if (part === null) throw new DurationError('invalid', text);
    const unit = part[2]!;
    if (unit === '') throw new DurationError('missing unit in', text);
    const scale = nanosByUnit[unit];
    if (scale === undefined) throw new DurationError(`unknown unit ${quote(unit)} in`, text);
    nanos += Number(part[1]) * scale;
    rest = rest.slice(part[0].length);
  }
  return (sign === '-' ? -nanos : nanos) / 1e6;
}

/** As Go prints it: `2.275125ms`, `1m30s`, `0s`; rounded to nanoseconds. */
export function formatDuration(ms: number): ByteString {
  const nanos = Math.round(Math.abs(ms) * 1e6);
  const sign = ms < 0 && nanos > 0 ? '-' : '';
  if (nanos === 0) return '0s';
  if (nanos < 1e3) return `${sign}${nanos}ns`;
  if (nanos < 1e6) return `${sign}${fraction(nanos, 1e3)}\xc2\xb5s`;
  if (nanos < 1e9) return `${sign}${fraction(nanos, 1e6)}ms`;
  const minutes = Math.floor(nanos / 60e9);
  const seconds = `${fraction(nanos - minutes * 60e9, 1e9)}s`;
  if (minutes === 0) return `${sign}${seconds}`;
  const hours = Math.floor(minutes / 60);
  return `${sign}${hours === 0 ? '' : `${hours}h`}${minutes % 60}m${seconds}`;
}

/** `nanos / unit` without trailing zeros, exact. */
function fraction(nanos: number, unit: number): string {
  const digits = String(unit).length - 1;
  const rest = String(nanos % unit)
    .padStart(digits, '0')
    .replace(/0+$/, '');
  return `${Math.floor(nanos / unit)}${rest === '' ? '' : `.${rest}`}`;
}
