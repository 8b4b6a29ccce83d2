/**
 * Our own scripts, in ../testdata: one story each, most of them a bug that some Raft implementation once had. REWRITE=1 writes the
 * outputs back instead of comparing; read the difference before committing it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { directivesOf, renderScript } from './testing/datadriven.ts';
import { Interaction } from './testing/interaction.ts';

const directory = fileURLToPath(new URL('../testdata/', import.meta.url));
const names = readdirSync(directory).filter((name) => name.endsWith('.txt'));

test.each(names)('%s', (name) => {
  const path = join(directory, name);
  const text = readFileSync(path, 'utf8');
  const { handle } = new Interaction();
  const outputs = directivesOf(text).map(handle);
  expect(outputs.length).toBeGreaterThan(0);
  const rendered = renderScript(text, outputs);
  if (env['REWRITE'] === '1') writeFileSync(path, rendered);
  else expect(rendered).toBe(text);
});
