/** What a flag is made of, and the kinds of values that most flags have. */
import { FlagValueError, parseBool, parseDurationMs, parseUint } from './go-values.ts';
import { type HostUrl, parseUrls } from './urls.ts';

/** One flag. */
export interface FlagSpec<T> {
  readonly group: 'Member' | 'Clustering' | 'Security' | 'Monitoring' | 'Logging' | 'Tuning';
  /** A sentence or two. */
  readonly help: string;
  /** As it would be written on the command line. */
  readonly default: string;
  readonly parse: (text: string) => T;
  /** May stand alone, meaning true. */
  readonly isBoolean?: boolean;
  /** A config file may give a number of nanoseconds. */
  readonly isDuration?: boolean;
}

type Group = FlagSpec<unknown>['group'];

export function text(group: Group, value: string, help: string): FlagSpec<string> {
  return { group, help, default: value, parse: (given) => given };
}

export function uint(group: Group, value: number, help: string): FlagSpec<number> {
  return { group, help, default: String(value), parse: (given) => parseUint(given) };
}

export function bool(group: Group, value: boolean, help: string): FlagSpec<boolean> {
  return { group, help, default: String(value), parse: parseBool, isBoolean: true };
}

export function duration(group: Group, value: string, help: string): FlagSpec<number> {
  return { group, help, default: value, parse: parseDurationMs, isDuration: true };
}

export function urls(group: Group, value: string, help: string): FlagSpec<readonly HostUrl[]> {
  return { group, help, default: value, parse: parseUrls };
}

/** The first choice is the default unless another is named. */
export function choice<const T extends string>(
  group: Group,
  choices: readonly T[],
  help: string,
  value?: T,
): FlagSpec<T> {
  return {
    group,
    help,
    default: value ?? choices[0] ?? '',
    parse: (given) => {
      const chosen = choices.find((one) => one === given);
      if (chosen === undefined) throw new FlagValueError('invalid value');
      return chosen;
    },
  };
}

/** Separated by commas; none by default. */
export function list(group: Group, help: string): FlagSpec<readonly string[]> {
  return { group, help, default: '', parse: (given) => (given === '' ? [] : given.split(',')) };
}
