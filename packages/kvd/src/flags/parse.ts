/**
 * From command line, environment and config file to flag values, by etcd's rules:
 *
 *   - Go's syntax: one or two dashes, `--flag=value` or `--flag value`; a boolean flag alone means true;
 *   - a flag and its environment variable together are a mistake, not a matter of precedence;
 *   - a config file replaces flags and environment altogether.
 */
import { readFileSync } from 'node:fs';
import type { FlagSpec } from './flag-kinds.ts';
import { environmentName, type FlagValues, flagName, flagTable, oldNames } from './flag-table.ts';
import { FlagValueError } from './go-values.ts';

/** The command line was wrong. */
export class FlagError extends Error {
  /** Whether it is about how flags are written, which exits with 2 and shows the usage, or about what was asked for. */
  readonly isUsage: boolean;

  constructor(message: string, isUsage: boolean) {
    super(message);
    this.name = 'FlagError';
    this.isUsage = isUsage;
  }
}

export interface ParsedFlags {
  readonly values: FlagValues;
  /** Flags somebody set, on the command line, in the environment or in the config file. */
  readonly given: ReadonlySet<keyof FlagValues>;
  /** What to tell the operator once there is a log. */
  readonly notes: readonly Note[];
}

/** A line for the log. */
export interface Note {
  readonly level: 'info' | 'warn';
  /** Constant. */
  readonly message: string;
  readonly facts: Readonly<Record<string, string>>;
}

/** What the command line asks for. */
export type Command =
  | { readonly run: 'help' }
  | { readonly run: 'version' }
  | ({ readonly run: 'member' } & ParsedFlags);

type Environment = Readonly<Record<string, string | undefined>>;

const fields = Object.keys(flagTable) as (keyof FlagValues)[];
const fieldOfName: ReadonlyMap<string, keyof FlagValues> = new Map([
  ...fields.map((field) => [flagName(field), field] as const),
  ...Object.entries(oldNames),
]);
const configFileFlag = 'config-file';
/** Variables that belong to kvd and are no flags. */
const otherVariables: ReadonlySet<string> = new Set(['KVD_CONFIG_FILE', 'KVD_CRASH_AT']);

/** Throws FlagError. */
export function parseCommand(args: readonly string[], environment: Environment): Command {
  const line = parseLine(args);
  if (line.run !== 'member') return { run: line.run };
  const file = line.configFile ?? environment['KVD_CONFIG_FILE'];
  if (file !== undefined && file !== '') return { run: 'member', ...fromFile(file, line.texts.size > 0) };
  const notes: Note[] = [...line.notes];
  const texts = new Map(line.texts);
  for (const field of fields) {
    const name = environmentName(flagName(field));
    const value = environment[name];
    if (value === undefined || value === '') continue;
    if (texts.has(field)) throw shadowed(name);
    parseValue(field, value, (reason) => `invalid value ${quote(value)} for ${name}: ${reason}`, false);
    texts.set(field, value);
    notes.push({ level: 'info', message: 'recognized and used environment variable', facts: { name, value } });
  }
  notes.push(...unknownVariables(environment));
  return { run: 'member', ...valuesOf(texts), notes };
}

interface Line {
  readonly run: Command['run'];
  readonly texts: Map<keyof FlagValues, string>;
  readonly configFile: string | undefined;
  readonly notes: readonly Note[];
}

function parseLine(args: readonly string[]): Line {
  const texts = new Map<keyof FlagValues, string>();
  const notes: Note[] = [];
  let configFile: string | undefined;
  let run: Command['run'] = 'member';
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith('-') || arg === '-') throw new FlagError(`'${arg}' is not a valid flag`, false);
    if (arg === '--') {
      if (i + 1 < args.length) throw new FlagError(`'${args[i + 1]}' is not a valid flag`, false);
      break;
    }
    const [, name, attached] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) throw new FlagError(`bad flag syntax: ${arg}`, true);
    if (name === 'help' || name === 'h') return { run: 'help', texts, configFile, notes };
    const isBoolean = name === 'version' || isBooleanFlag(name);
    if (!isKnown(name)) throw new FlagError(`flag provided but not defined: -${name}`, true);
    const value = attached ?? (isBoolean ? 'true' : args[++i]);
    if (value === undefined) throw new FlagError(`flag needs an argument: -${name}`, true);
    const field = fieldOfName.get(name);
    if (name === 'version') run = value === 'false' ? 'member' : 'version';
    else if (field === undefined) configFile = value;
    else {
      if (name in oldNames) notes.push(deprecated(name, field));
      parseValue(field, value, (reason) => refusal(name, value, reason, isBoolean), true);
      texts.set(field, value);
    }
  }
  return { run, texts, configFile, notes };
}

function isKnown(name: string): boolean {
  return name === 'version' || name === configFileFlag || fieldOfName.has(name);
}

function isBooleanFlag(name: string): boolean {
  const field = fieldOfName.get(name);
  return field !== undefined && flagTable[field].isBoolean === true;
}

function refusal(name: string, value: string, reason: string, isBoolean: boolean): string {
  const kind = isBoolean ? 'boolean value' : 'value';
  const preposition = isBoolean ? 'for' : 'for flag';
  return `invalid ${kind} ${quote(value)} ${preposition} -${name}: ${reason}`;
}

/** The file's keys are flag names; its values strings, numbers or booleans. */
function fromFile(path: string, flagsGiven: boolean): ParsedFlags {
  const texts = new Map<keyof FlagValues, string>();
  const notes: Note[] = [{ level: 'info', message: 'loading the configuration from a file', facts: { path } }];
  if (flagsGiven) {
    notes.push({ level: 'warn', message: 'other command line flags are ignored with a config file', facts: { path } });
  }
  for (const [name, value] of Object.entries(readConfig(path))) {
    const field = fieldOfName.get(name);
    if (field === undefined) throw new FlagError(`${path}: unknown setting ${quote(name)}`, false);
    if (name in oldNames) notes.push(deprecated(name, field));
    const text = textOf(value, flagTable[field]);
    if (text === undefined) throw new FlagError(`${path}: ${name} must be a string, a number or a boolean`, false);
    parseValue(field, text, (reason) => `${path}: invalid value ${quote(text)} for ${name}: ${reason}`, false);
    texts.set(field, text);
  }
  return { ...valuesOf(texts), notes };
}

function readConfig(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new FlagError(`open ${path}: ${missing ? 'no such file or directory' : String(error)}`, false);
  }
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === 'object' && config !== null && !Array.isArray(config)) return { ...config };
  } catch (error) {
    throw new FlagError(`${path} must be JSON: ${(error as Error).message}`, false);
  }
  throw new FlagError(`${path} must hold one JSON object`, false);
}

function textOf(value: unknown, spec: FlagSpec<unknown>): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return spec.isDuration === true ? `${value}ns` : String(value);
  return typeof value === 'boolean' ? String(value) : undefined;
}

function valuesOf(texts: ReadonlyMap<keyof FlagValues, string>): Omit<ParsedFlags, 'notes'> {
  const values = Object.fromEntries(
    fields.map((field) => [field, flagTable[field].parse(texts.get(field) ?? flagTable[field].default)]),
  );
  return { values: values as unknown as FlagValues, given: new Set(texts.keys()) };
}

function parseValue(
  field: keyof FlagValues,
  text: string,
  message: (reason: string) => string,
  isUsage: boolean,
): void {
  try {
    flagTable[field].parse(text);
  } catch (error) {
    if (error instanceof FlagValueError) throw new FlagError(message(error.message), isUsage);
    throw error;
  }
}

function unknownVariables(environment: Environment): Note[] {
  const known = new Set(fields.map((field) => environmentName(flagName(field))));
  return Object.keys(environment)
    .filter((name) => name.startsWith('KVD_') && !known.has(name) && !otherVariables.has(name))
    .sort()
    .map((name) => ({ level: 'warn', message: 'unrecognized environment variable', facts: { name } }));
}

function shadowed(variable: string): FlagError {
  return new FlagError(
    `conflicting environment variable "${variable}" is shadowed by corresponding command-line flag ` +
      '(either unset environment variable or disable flag)',
    false,
  );
}

function deprecated(name: string, field: keyof FlagValues): Note {
  return { level: 'warn', message: 'deprecated flag name', facts: { name, use: flagName(field) } };
}

function quote(text: string): string {
  return JSON.stringify(text);
}
