/**
 * Invariants. A broken invariant is a programmer error: the state can no longer be trusted, so it throws FatalError, which
 * nobody catches but the program, and the process stops. Cheap checks always run; costly ones only when switched on.
 */
import { type Facts, FatalError } from './errors.ts';

/**
 * Stops the process's trust in itself when `condition` is false. `message` is a constant lower-case phrase; what varies goes
 * into `facts`.
 */
export function invariant(condition: boolean, message: string, facts?: Facts): asserts condition {
  if (!condition) throw new FatalError(message, facts);
}

/** Ends a switch over a union: the compiler proves it is never reached, the throw catches data that lied about its type. */
export function unreachable(value: never): never {
  throw new FatalError('unreachable case', { value: String(value) });
}

const expensive = { on: false };

/** Switches the checks of {@link expensiveInvariant} on. Tests and the simulator do; production does not. */
export function enableExpensiveInvariants(): void {
  expensive.on = true;
}

/** An invariant whose check scans; evaluated only after {@link enableExpensiveInvariants}. */
export function expensiveInvariant(check: () => boolean, message: string, facts?: Facts): void {
  if (expensive.on) invariant(check(), message, facts);
}
