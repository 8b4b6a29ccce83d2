export { Exit } from './exit.ts';
export type { Io } from './io.ts';
export { processIo } from './process.ts';
export { run } from './run.ts';
