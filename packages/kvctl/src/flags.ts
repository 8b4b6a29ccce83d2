/**
 * Flags as etcdctl's library (pflag) types them, declared as commander options: their values are read in Go's way and refused
 * in Go's words. The command line has been brought into commander's dialect before (see dialect.ts).
 */
import { type Command, Option } from 'commander';
import { Exit, ExitError } from './exit.ts';
import type { ByteString } from './text/bytes.ts';
import { formatDuration, parseDurationMs } from './text/duration.ts';
import { clampToNumber, parseBool, parseInt64 } from './text/numbers.ts';
import { quote } from './text/quote.ts';

/** `name` is the long flag without dashes; `short` one letter. */
interface FlagSpec {
  readonly name: string;
  readonly short?: string;
  readonly help: string;
}

/** A switch: `--prefix`, `--prefix=false`. */
export function booleanFlag(
  command: Command,
  { name, short, help, value = false }: FlagSpec & { value?: boolean },
): void {
  const flag = new Option(flagTerm({ name, short }), help).default(value, value ? 'true' : undefined);
  // A switch may be called no-something; only the one below takes something back.
  flag.negate = false;
  command.addOption(flag);
  // What dialect.ts turns `--prefix=false` into.
  command.addOption(new Option(`--no-${name}`).hideHelp());
}

export function stringFlag(command: Command, spec: FlagSpec & { value: string; argument: string }): void {
  command.addOption(option(spec).default(spec.value, spec.value === '' ? undefined : spec.value));
}

/** A signed 64-bit number, clamped to what JavaScript holds exactly. */
export function numberFlag(command: Command, spec: FlagSpec & { argument: string; value?: number }): void {
  const { value = 0 } = spec;
  command.addOption(
    option(spec)
      .default(value, value === 0 ? undefined : String(value))
      .argParser((text) => parsed(spec, text, () => clampToNumber(parseInt64(text)))),
  );
}

/** A duration in Go's notation, held in milliseconds. */
export function durationFlag(command: Command, spec: FlagSpec & { valueMs: number }): void {
  command.addOption(
    option({ ...spec, argument: 'duration' })
      .default(spec.valueMs, formatDuration(spec.valueMs))
      .argParser((text) => parsed(spec, text, () => parseDurationMs(text))),
  );
}

/** A list with commas; given several times, the lists are joined. */
export function listFlag(command: Command, spec: FlagSpec & { value: readonly string[]; argument: string }): void {
  const isDefault = (list: unknown): boolean => list === spec.value;
  command.addOption(
    option(spec)
      .default(spec.value, spec.value.join(','))
      .argParser((text, before: readonly string[]) => [...(isDefault(before) ? [] : before), ...splitList(text)]),
  );
}

/** Values of a list flag, in its text form. */
export function splitList(text: ByteString): ByteString[] {
  return text === '' ? [] : text.split(',');
}

/** Reads a switch's explicit value. Throws ExitError. */
export function booleanValue(flag: Option, text: ByteString): boolean {
  return parsed({ name: flag.long!.slice(2), ...(flag.short === undefined ? {} : { short: flag.short }) }, text, () =>
    parseBool(text),
  );
}

function option({ name, short, help, argument }: FlagSpec & { argument: string }): Option {
  return new Option(`${flagTerm({ name, short })} <${argument}>`, help);
}

function flagTerm({ name, short }: { name: string; short: string | undefined }): string {
  return short === undefined ? `--${name}` : `-${short}, --${name}`;
}

function parsed<T>({ name, short }: { name: string; short?: string }, text: ByteString, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const flag = short === undefined ? `--${name}` : `-${short.replace(/^-/, '')}, --${name}`;
    const problem = (error as Error).message;
    throw new ExitError(Exit.error, `invalid argument ${quote(text)} for "${flag}" flag: ${problem}`);
  }
}
