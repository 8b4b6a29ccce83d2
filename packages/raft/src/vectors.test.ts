/**
 * The public scripts for a raft core, run from where they lie, never copied: the directory in QUORATE_RAFT_VECTORS, or
 * ../shared/reference/raft-vectors beside the repository. Every line is compared except the trace (INFO, DEBUG, …), whose words are
 * our own; that something is traced in the same place does count, because a command that prints nothing at all prints "ok".
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { confchangeScript } from './testing/confchange-script.ts';
import { directivesOf, type ScriptHandler } from './testing/datadriven.ts';
import { Interaction } from './testing/interaction.ts';
import { quorumScript } from './testing/quorum-script.ts';
import { traceLine } from './testing/script-output.ts';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const directory = env['QUORATE_RAFT_VECTORS'] ?? resolve(repository, '../shared/reference/raft-vectors');

const kinds: readonly { readonly path: string; readonly handler: () => ScriptHandler }[] = [
  { path: 'testdata', handler: () => new Interaction().handle },
  { path: 'quorum/testdata', handler: () => quorumScript },
  { path: 'confchange/testdata', handler: confchangeScript },
];

function withoutTrace(output: string): string {
  return output
    .split('\n')
    .filter((line) => !traceLine.test(line))
    .join('\n');
}

if (existsSync(directory)) {
  for (const { path, handler } of kinds) {
    describe(`vectors in ${path}`, () => {
      const files = readdirSync(join(directory, path)).filter((name) => name.endsWith('.txt'));
      test.each(files)('%s', (name) => {
        const run = handler();
        const directives = directivesOf(readFileSync(join(directory, path, name), 'utf8'));
        expect(directives.length).toBeGreaterThan(0);
        for (const directive of directives) {
          const where = `${name}:${directive.line} ${directive.command}`;
          expect(`${where}\n${withoutTrace(run(directive))}`).toBe(`${where}\n${withoutTrace(directive.expected)}`);
        }
      });
    });
  }
} else {
  test.skip(`raft vectors: none at ${directory}; set QUORATE_RAFT_VECTORS to their directory`, () => {});
}
