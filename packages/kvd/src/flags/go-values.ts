/**
 * Values as Go's flag package reads them, so that what works on etcd's command line works here, and what does not is refused in
 * the same words. Each parser throws FlagValueError with the reason alone; who calls knows the flag.
 */

/** Why a value was refused: `parse error`, `value out of range`, … */
export class FlagValueError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'FlagValueError';
  }
}

const trueTexts: ReadonlySet<string> = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const falseTexts: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** strconv.ParseBool. */
export function parseBool(text: string): boolean {
  if (trueTexts.has(text)) return true;
  if (falseTexts.has(text)) return false;
  throw new FlagValueError('parse error');
}

/** An unsigned number up to `max`; decimal, or with the prefixes 0x, 0o and 0b. */
export function parseUint(text: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (!/^(?:\d+|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(text)) throw new FlagValueError('parse error');
  const value = Number(text);
  if (value > max) throw new FlagValueError('value out of range');
  return value;
}

/** A signed number. */
export function parseInt64(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  const value = parseUint(text.replace(/^[+-]/, ''));
  return value === 0 ? 0 : sign * value;
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** time.ParseDuration: `1h15m30.5s`; the result is in milliseconds. */
export function parseDurationMs(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  const unsigned = text.replace(/^[+-]/, '');
  if (unsigned === '0') return 0;
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
  let totalMs = 0;
  let at = 0;
  while (at < unsigned.length) {
    part.lastIndex = at;
    const match = part.exec(unsigned);
    if (match === null) throw new FlagValueError('parse error');
    totalMs += Number(match[1]) * unitMs[match[2]!]!;
    at = part.lastIndex;
  }
  if (at === 0) throw new FlagValueError('parse error');
  return sign * totalMs;
}
