import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as index from './index.ts';

const files = readdirSync(new URL('./gen/', import.meta.url)).filter((file) => file.endsWith('.ts'));

test.each(files)('everything of gen/%s is exported by name', async (file) => {
  const generated = (await import(new URL(`./gen/${file}`, import.meta.url).href)) as Record<string, unknown>;
  expect(index).toMatchObject(generated);
});
