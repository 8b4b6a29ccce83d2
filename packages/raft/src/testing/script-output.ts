/** Where a script's commands print: lines with nested indentation, and the trace of the core at or above a level. */
import type { Facts, Logger } from '@quorate/base';

const levels = { debug: 0, info: 1, warn: 2, error: 3, none: 4 } as const;
export type Level = keyof typeof levels;

export class ScriptOutput {
  level: Level = 'debug';
  #text = '';
  #indent = '';

  /** Prints whole lines. Nothing is printed at level none. */
  print(lines: string): void {
    if (this.level === 'none' || lines === '') return;
    const body = lines.endsWith('\n') ? lines.slice(0, -1) : lines;
    for (const line of body.split('\n')) this.#text += `${this.#indent}${line}\n`;
  }

  /** Prints an error: the answer of a command, which level none does not hide. */
  printError(message: string): void {
    this.#text += `${this.#indent}${message}\n`;
  }

  /** Everything `body` prints is indented one step more. */
  indented(body: () => void): void {
    const before = this.#indent;
    this.#indent += '  ';
    body();
    this.#indent = before;
  }

  /** What was printed since the last call; `ok` when that is nothing. */
  take(): string {
    const text = this.#text === '' ? 'ok\n' : this.#text;
    this.#text = '';
    return text;
  }

  /** Traces go between the lines of the command that causes them. */
  logger(): Logger {
    const log = (level: Level) => (message: string, facts?: Facts) => {
      if (levels[level] >= levels[this.level]) this.print(`${level.toUpperCase()} ${message}${factsText(facts)}\n`);
    };
    const logger: Logger = {
      debug: log('debug'),
      info: log('info'),
      warn: log('warn'),
      error: log('error'),
      with: () => logger,
    };
    return logger;
  }
}

export function isLevel(text: string): text is Level {
  return text in levels;
}

/** Matches a line of the trace. */
export const traceLine: RegExp = /^\s*(DEBUG|INFO|WARN|ERROR) /;

function factsText(facts: Facts | undefined): string {
  if (facts === undefined) return '';
  return Object.entries(facts)
    .map(([name, value]) => ` ${name}=${value}`)
    .join('');
}
