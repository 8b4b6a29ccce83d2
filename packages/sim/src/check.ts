/**
 * The judge. Every success carries a revision, so the order of effects is visible and a linear pass decides (revision-order
 * checker); the truth is what the members applied. Returns complaints; none means the history is strictly serializable and
 * nothing acknowledged was lost.
 */
import type { Answer, History, Operation } from './history.ts';
import type { Truth } from './truth.ts';

/** An operation with its answer. */
interface Answered {
  readonly operation: Operation;
  readonly answer: Answer;
}

export function checkHistory(history: History, truth: Truth): string[] {
  const complaints: string[] = [];
  const answered: Answered[] = [];
  for (const operation of history.operations) {
    const { outcome } = operation;
    if (outcome.at === 'ok') answered.push({ operation, answer: outcome.answer });
    complaints.push(...checkEffect(operation, truth));
  }
  complaints.push(...checkRealTime(answered));
  return complaints;
}

/** One operation against the truth, without regard to others. */
function checkEffect(operation: Operation, truth: Truth): string[] {
  const { call, outcome } = operation;
  const complain = (text: string): string[] => [`operation ${operation.id} (${JSON.stringify(call)}): ${text}`];
  const written = 'value' in call ? truth.revisionOf(call.value) : undefined;
  if (written !== undefined && truth.appliedMs(written)! < operation.invokeMs) {
    return complain(`took effect at revision ${written} before it was invoked`);
  }
  if (outcome.at === 'refused') {
    return written === undefined
      ? []
      : complain(`was refused (${outcome.reason}) but took effect at revision ${written}`);
  }
  if (outcome.at === 'unknown') return [];
  const { answer } = outcome;
  if (answer.revision > truth.lastRevision) {
    return complain(`was answered at revision ${answer.revision}, which no member applied`);
  }
  switch (answer.kind) {
    case 'put':
      return written === answer.revision ? [] : complain(`acknowledged at ${answer.revision}, found at ${written}`);
    case 'delete':
      return checkDelete(operation, answer, truth).flatMap(complain);
    case 'get':
      return checkGet(operation, answer, truth).flatMap(complain);
    case 'swap':
      return checkSwap(operation, answer, truth).flatMap(complain);
  }
}

function checkDelete(operation: Operation, answer: Answer & { kind: 'delete' }, truth: Truth): string[] {
  const { key } = operation.call;
  const before = truth.at(key, answer.deleted > 0 ? answer.revision - 1 : answer.revision);
  if (answer.deleted === 0) return before === undefined ? [] : ['deleted nothing although the key was there'];
  if (before === undefined) return ['deleted a key that was not there'];
  const deletes = truth.changesAt(answer.revision).filter((change) => change.type === 'delete' && change.key === key);
  return deletes.length === 1 ? [] : [`its delete is not at revision ${answer.revision}`];
}

function checkGet(operation: Operation, answer: Answer & { kind: 'get' }, truth: Truth): string[] {
  const expected = truth.at(operation.call.key, answer.revision);
  const { found } = answer;
  const same = expected?.value === found?.value && expected?.modRevision === found?.modRevision;
  if (same) return [];
  return [`read ${JSON.stringify(found)} at revision ${answer.revision} where ${JSON.stringify(expected)} was`];
}

function checkSwap(operation: Operation, answer: Answer & { kind: 'swap' }, truth: Truth): string[] {
  const { call } = operation;
  if (call.kind !== 'swap') return ['answered as a swap'];
  const before = truth.at(call.key, answer.succeeded ? answer.revision - 1 : answer.revision);
  const matches = (before?.modRevision ?? 0) === call.expectModRevision;
  if (matches !== answer.succeeded) return [`took the wrong branch at revision ${answer.revision}`];
  const written = truth.revisionOf(call.value);
  const expected = answer.succeeded ? answer.revision : undefined;
  return written === expected ? [] : [`its value is at revision ${written}, expected ${expected}`];
}

/**
 * Real-time order: what returned before another was invoked has at most its revision, and less if the later one wrote. Reads that
 * allow stale data promise only their own revision's state, which checkGet judged.
 */
function checkRealTime(answered: readonly Answered[]): string[] {
  const complaints: string[] = [];
  const linearizable = answered.filter(({ operation }) => !isSerializable(operation));
  const byReturn = [...linearizable].sort((a, b) => a.operation.returnMs - b.operation.returnMs);
  const byInvoke = [...linearizable].sort((a, b) => a.operation.invokeMs - b.operation.invokeMs);
  let returned = 0;
  let highest = 0;
  let highestBy = -1;
  for (const { operation, answer } of byInvoke) {
    while (returned < byReturn.length && byReturn[returned]!.operation.returnMs < operation.invokeMs) {
      const earlier = byReturn[returned++]!;
      if (earlier.answer.revision <= highest) continue;
      highest = earlier.answer.revision;
      highestBy = earlier.operation.id;
    }
    const late = wrote(answer) ? answer.revision <= highest : answer.revision < highest;
    if (late) {
      complaints.push(
        `operation ${operation.id} is at revision ${answer.revision} although operation ${highestBy} had returned ` +
          `revision ${highest} before it began`,
      );
    }
  }
  return complaints;
}

function isSerializable(operation: Operation): boolean {
  return operation.call.kind === 'get' && operation.call.serializable;
}

function wrote(answer: Answer): boolean {
  switch (answer.kind) {
    case 'put':
      return true;
    case 'delete':
      return answer.deleted > 0;
    case 'swap':
      return answer.succeeded;
    case 'get':
      return false;
  }
}
