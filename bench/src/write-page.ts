/**
 * Writes docs/performance-figures.md and its plots from docs/figures/figures.json:
 *
 *   npm run bench:page -- [--from bench/results/figures.json]
 *
 * With `--from`, that file takes the place of the one under docs first.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Figures } from './figures.ts';
import { figuresName, pageOf } from './page.ts';
import { root } from './servers.ts';

const { values } = parseArgs({ options: { from: { type: 'string' } } });
const docs = join(root, 'docs');
const kept = join(docs, figuresName);
mkdirSync(join(docs, 'figures'), { recursive: true });
if (values.from !== undefined) writeFileSync(kept, readFileSync(values.from));
const figures = JSON.parse(readFileSync(kept, 'utf8')) as Figures;
for (const [name, content] of pageOf(figures)) {
  writeFileSync(join(docs, name), content);
  process.stdout.write(`${join('docs', name)}\n`);
}
