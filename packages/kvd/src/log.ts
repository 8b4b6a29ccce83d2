/**
 * The log of the daemon: pino behind base's Logger. One JSON object per line with level, ts and msg first, as etcd writes it, or
 * the same in columns for people. Written synchronously, so that the last words of a dying process are not lost.
 */
import { type Facts, formatId, type Logger } from '@quorate/base';
import { type Logger as Pino, pino } from 'pino';
import type { LogConfig } from './config.ts';
import type { LogLevel } from './flags/flag-table.ts';

/** Somewhere to write lines to. */
export interface LogSink {
  write(line: string): void;
}

/** A logger that writes as configured; files are appended to, mode 0600. */
export function openLog(config: LogConfig): Logger {
  const sinks = config.outputs.map(openSink);
  const all: LogSink = {
    write: (line) => {
      for (const sink of sinks) sink.write(line);
    },
  };
  return logTo(all, config);
}

/** A logger on one sink. */
export function logTo(sink: LogSink, { level, format }: Pick<LogConfig, 'level' | 'format'>): Logger {
  const destination: LogSink = format === 'json' ? sink : { write: (line) => sink.write(columns(line)) };
  const base = pino(
    {
      level: pinoLevel(level),
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return new PinoLogger(base);
}

class PinoLogger implements Logger {
  readonly #pino: Pino;

  constructor(base: Pino) {
    this.#pino = base;
  }

  debug(message: string, facts?: Facts): void {
    this.#pino.debug(plain(facts), message);
  }
  info(message: string, facts?: Facts): void {
    this.#pino.info(plain(facts), message);
  }
  warn(message: string, facts?: Facts): void {
    this.#pino.warn(plain(facts), message);
  }
  error(message: string, facts?: Facts): void {
    this.#pino.error(plain(facts), message);
  }
  with(facts: Facts): Logger {
    return new PinoLogger(this.#pino.child(plain(facts)));
  }
}

/** Ids are the only bigints, and are printed in hex as etcd prints them. */
function plain(facts: Facts = {}): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [name, typeof value === 'bigint' ? formatId(value) : value]),
  );
}

/** etcd's panic is more severe than error and less than fatal; nothing here is written at it. */
function pinoLevel(level: LogLevel): string {
  return level === 'panic' ? 'fatal' : level;
}

function openSink(output: string): LogSink {
  if (output === 'stdout') return pino.destination({ dest: 1, sync: true });
  if (output === 'stderr') return pino.destination({ dest: 2, sync: true });
  return pino.destination({ dest: output, sync: true, append: true, mkdir: true, mode: 0o600 });
}

/** `2026-01-02T03:04:05.678Z  warn  slow fsync  {"durationMs":812}` */
function columns(line: string): string {
  const { level, ts, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.keys(facts).length === 0 ? '' : `\t${JSON.stringify(facts)}`;
  return `${ts}\t${level}\t${msg}${rest}\n`;
}
