/** The generator's process: one task in, one result out. */
import { type LoadTask, runLoad } from './generator.ts';

const task = JSON.parse(process.argv[2] ?? '') as LoadTask;
const result = await runLoad(task);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
