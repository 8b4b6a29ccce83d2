/** The first difference between what two servers answered, and how it is told. */
import type { Operation, Sequence } from './operations.ts';
import type { Transcript } from './server-side.ts';

/** Thrown with both answers where they differ first. */
export class Difference extends Error {}

/** Throws Difference. */
export function mustAgree(sequence: Sequence, etcd: Transcript, kvd: Transcript): void {
  const operations = sequence.operations.filter((one) => one !== undefined);
  operations.forEach((operation, i) => {
    if (etcd.answers[i] !== kvd.answers[i]) {
      throw new Difference(told(`operation ${i + 1}, ${operationText(operation)}`, etcd.answers[i], kvd.answers[i]));
    }
  });
  const count = Math.max(etcd.watched.length, kvd.watched.length);
  for (let i = 0; i < count; i++) {
    if (etcd.watched[i] !== kvd.watched[i]) {
      throw new Difference(told(`what watches were told, line ${i + 1}`, etcd.watched[i], kvd.watched[i]));
    }
  }
}

/** One operation on a line, without what is not set. */
export function operationText({ kind, ...rest }: Operation): string {
  const isSet = (name: string, value: unknown): unknown => {
    if (/^\d+$/.test(name)) return value;
    if (value === false || value === 0 || value === '') return undefined;
    return typeof value === 'object' && value !== null && 'at' in value && value.at === 'none' ? undefined : value;
  };
  return `${kind} ${JSON.stringify(rest, isSet)}`;
}

/** A whole sequence, an operation per line. */
export function sequenceText({ operations, patient }: Sequence): string {
  const lines = operations.filter((one) => one !== undefined).map((one, i) => `  ${i + 1}. ${operationText(one)}`);
  return [`${patient ? 'waiting' : 'not waiting'} for events after each operation:`, ...lines].join('\n');
}

function told(where: string, etcd = 'nothing', kvd = 'nothing'): string {
  return `${where}\n  etcd: ${etcd}\n  kvd:  ${kvd}`;
}
