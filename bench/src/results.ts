/** Where findings go: one JSON file a run. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './servers.ts';

/** Where programs write unless told otherwise. */
export const resultsDirectory: string = join(root, 'bench', 'results');

/** Writes `findings` into a new file of `directory`, which is made if need be, and returns its path. */
export function writeResults(directory: string, findings: object, name: string = timeName()): string {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${name}.json`);
  writeFileSync(file, `${JSON.stringify(findings, undefined, 2)}\n`);
  return file;
}

function timeName(): string {
  return new Date().toISOString().replaceAll(':', '-');
}
