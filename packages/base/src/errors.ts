/**
 * The errors that stop the process. Expected answers (compacted, no space, …) are KvError in package proto; everything here
 * means that going on would risk acknowledged data, so only a program's main catches it, logs it and exits.
 */

/** What varied, beside a constant message. Values are printed by loggers, so they stay plain. */
export type Facts = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** A broken invariant or another state in which the process must not continue. */
export class FatalError extends Error {
  readonly facts: Facts;
  constructor(message: string, facts: Facts = {}, options?: ErrorOptions) {
    super(`${message}${formatFacts(facts)}`, options);
    this.name = 'FatalError';
    this.facts = facts;
  }
}

/** Part of storage an error is about. */
export type StorageSubject = 'wal' | 'backend' | 'snapshot' | 'data-dir';
/** What was being done to it. */
export type StorageVerb = 'open' | 'read' | 'write' | 'sync' | 'rename' | 'remove' | 'list' | 'lock' | 'verify';

/**
 * The disk said no, or its bytes are wrong. Reads as a sentence: "cannot sync wal: EIO …". Never retried: a second sync after
 * a failed one proves nothing.
 */
export class StorageError extends FatalError {
  readonly subject: StorageSubject;
  readonly verb: StorageVerb;
  constructor(subject: StorageSubject, verb: StorageVerb, reason: string, facts: Facts = {}, cause?: unknown) {
    super(`cannot ${verb} ${subject}: ${reason}`, facts, cause === undefined ? undefined : { cause });
    this.name = 'StorageError';
    this.subject = subject;
    this.verb = verb;
  }
}

/** Recorded bytes contradict themselves in a way a crash cannot explain. Nothing on disk was changed. */
export class CorruptionError extends StorageError {
  constructor(subject: StorageSubject, reason: string, facts: Facts) {
    super(subject, 'verify', reason, facts);
    this.name = 'CorruptionError';
  }
}

function formatFacts(facts: Facts): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(facts)) {
    if (value !== undefined) parts.push(`${name}=${value}`);
  }
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}
