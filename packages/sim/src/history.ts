/** What the clients of a simulation saw: one record per call, from invocation to return. */
import type { Key } from '@quorate/base';

/** What was asked. */
export type Call =
  | { readonly kind: 'put'; readonly key: Key; readonly value: string }
  | { readonly kind: 'delete'; readonly key: Key }
  | { readonly kind: 'get'; readonly key: Key; readonly serializable: boolean }
  | { readonly kind: 'swap'; readonly key: Key; readonly expectModRevision: number; readonly value: string };

/** What was answered. */
export type Answer =
  | { readonly kind: 'put'; readonly revision: number }
  | { readonly kind: 'delete'; readonly revision: number; readonly deleted: number }
  | {
      readonly kind: 'get';
      readonly revision: number;
      readonly found: { readonly value: string; readonly modRevision: number } | undefined;
    }
  | { readonly kind: 'swap'; readonly revision: number; readonly succeeded: boolean };

/** How a call ended: with an answer, certainly without effect, or nobody knows. */
export type Outcome =
  | { readonly at: 'ok'; readonly answer: Answer }
  | { readonly at: 'refused'; readonly reason: string }
  | { readonly at: 'unknown' };

export interface Operation {
  readonly id: number;
  readonly call: Call;
  readonly invokeMs: number;
  /** Infinity while nobody answered: it may take effect at any later time. */
  returnMs: number;
  outcome: Outcome;
}

export class History {
  readonly operations: Operation[] = [];

  begin(call: Call, nowMs: number): Operation {
    const operation: Operation = {
      id: this.operations.length,
      call,
      invokeMs: nowMs,
      returnMs: Number.POSITIVE_INFINITY,
      outcome: { at: 'unknown' },
    };
    this.operations.push(operation);
    return operation;
  }

  end(operation: Operation, outcome: Outcome, nowMs: number): void {
    operation.outcome = outcome;
    if (outcome.at !== 'unknown') operation.returnMs = nowMs;
  }

  /** How many ended with an answer. */
  get okCount(): number {
    return this.operations.filter((operation) => operation.outcome.at === 'ok').length;
  }
}
