/**
 * Scripts of commands with expected output, as text:
 *
 *   # comment
 *   command argument key=value key=(a,b,c)
 *   optional input lines
 *   ----
 *   expected output, up to an empty line
 *
 * Parses a script, runs it against a handler, and can write it back with the output that was produced.
 */

/** An argument: a bare word has no values. */
export interface ScriptArg {
  readonly key: string;
  readonly values: readonly string[];
}

export interface Directive {
  /** Line of the command, counted from 1. */
  readonly line: number;
  readonly command: string;
  readonly args: readonly ScriptArg[];
  readonly input: string;
  readonly expected: string;
}

/** What a script is made of: directives, and the text between them. */
export type ScriptPart = Directive | string;

/** Runs one directive and returns its output, lines ending in a newline. */
export type ScriptHandler = (directive: Directive) => string;

export function parseScript(text: string): ScriptPart[] {
  const lines = text.split('\n');
  const parts: ScriptPart[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at]!;
    if (line.trim() === '' || line.startsWith('#')) {
      parts.push(line);
      at++;
      continue;
    }
    const separator = lines.indexOf('----', at);
    if (separator < 0) throw new Error(`line ${at + 1}: no separator after the command`);
    let end = separator + 1;
    while (end < lines.length && lines[end] !== '') end++;
    parts.push({
      line: at + 1,
      ...parseCommand(line),
      input: lines.slice(at + 1, separator).join('\n'),
      expected: linesOf(lines.slice(separator + 1, end)),
    });
    at = end;
  }
  return parts;
}

/** Writes a script with `outputs`, one per directive, in place of what was expected. */
export function renderScript(text: string, outputs: readonly string[]): string {
  const lines = text.split('\n');
  let produced = 0;
  const out: string[] = [];
  let previousEnd = 0;
  for (const part of parseScript(text)) {
    if (typeof part === 'string') continue;
    const start = part.line - 1;
    out.push(...lines.slice(previousEnd, start));
    const separator = lines.indexOf('----', start);
    out.push(...lines.slice(start, separator + 1));
    out.push(...(outputs[produced++] ?? '').split('\n').slice(0, -1));
    let end = separator + 1;
    while (end < lines.length && lines[end] !== '') end++;
    previousEnd = end;
  }
  out.push(...lines.slice(previousEnd));
  return out.join('\n');
}

/** Directives of a script, without the text between them. */
export function directivesOf(text: string): Directive[] {
  return parseScript(text).filter((part): part is Directive => typeof part !== 'string');
}

/** Value of `key`, or undefined. */
export function argValue(directive: Directive, key: string): string | undefined {
  return directive.args.find((arg) => arg.key === key)?.values[0];
}

/** Bare words, in order. */
export function words(directive: Directive): string[] {
  return directive.args.filter((arg) => arg.values.length === 0).map((arg) => arg.key);
}

function parseCommand(line: string): { command: string; args: ScriptArg[] } {
  const tokens = line.match(/[^\s=]+=\([^)]*\)|\S+/g) ?? [];
  const args = tokens.slice(1).map((token): ScriptArg => {
    const equals = token.indexOf('=');
    if (equals < 0) return { key: token, values: [] };
    const value = token.slice(equals + 1);
    const list = /^\((.*)\)$/.exec(value);
    const values = list === null ? [value] : list[1]!.split(',').map((item) => item.trim());
    return { key: token.slice(0, equals), values };
  });
  return { command: tokens[0]!, args };
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
