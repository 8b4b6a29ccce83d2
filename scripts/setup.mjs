/**
 * Brings a checkout to the state in which its programs run: dependencies as the lock file has them, sources compiled. Runs before
 * `npm start` and `npm test`; says what it does, and nothing when there is nothing to do.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nodeMin = [20, 19];

checkNode();
if (mustInstall()) {
  say('installing dependencies (npm ci)');
  run(...npm('ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'));
}
if (!existsSync(join(root, 'packages', 'kvd', 'dist'))) say('compiling (tsc -b)');
run(process.execPath, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b');

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])) return;
  fail(`Node.js ${nodeMin.join('.')} or newer is needed, this is ${process.version}`);
}

/** npm writes node_modules/.package-lock.json at the end of every installation. */
function mustInstall() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  return !existsSync(installed) || statSync(join(root, 'package-lock.json')).mtimeMs > statSync(installed).mtimeMs;
}

/** The npm that runs this script, else the one on the PATH. */
function npm(...args) {
  const script = process.env.npm_execpath;
  return script?.endsWith('.js') ? [process.execPath, script, ...args] : ['npm', ...args];
}

function run(program, ...args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) fail(`${program}: ${error.message}`);
  if (status !== 0) fail(`"${[program, ...args].join(' ')}" ended with ${status}`);
}

function say(text) {
  console.log(`setup: ${text}`);
}

function fail(text) {
  console.error(`setup: ${text}`);
  process.exit(1);
}
