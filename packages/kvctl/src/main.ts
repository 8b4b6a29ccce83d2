/** The kvctl program: gives the process to `run`. Only this file and process.ts touch it. */
import { readFileSync } from 'node:fs';
import { systemClock } from '@quorate/client';
import { processIo } from './process.ts';
import { run } from './run.ts';
import { type ByteString, fromBytes, fromText } from './text/bytes.ts';

// A pipe that is closed early (`kvctl get … | head`) ends the program quietly, with the code a shell gives for SIGPIPE.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 141 : 1);
});
// Warnings of libraries about Node's future are nothing for the users of a program.
process.noDeprecation = true;

process.exitCode = await run(argumentBytes(), {
  ...processIo,
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock: systemClock,
  readFile: readFileSync,
  columns: Math.min(process.stdout.columns ?? 100, 120),
  version: packageVersion(),
});
// Whatever was not read of it must not keep the program waiting.
process.stdin.destroy();

/** The arguments as the bytes they were: Node decodes them as UTF-8 and loses what is not. Linux still has them. */
function argumentBytes(): ByteString[] {
  const decoded = process.argv.slice(2);
  if (process.platform !== 'linux' || !decoded.some((argument) => argument.includes('\ufffd')))
    return decoded.map(fromText);
  const words = fromBytes(readFileSync('/proc/self/cmdline')).split('\0');
  return words.slice(0, -1).slice(-decoded.length);
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
