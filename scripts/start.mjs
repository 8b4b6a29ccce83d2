/**
 * A cluster of three members on loopback, as the README's first command: starts the built kvd three times, waits until all are
 * healthy, says how to talk to them, and stops all on Ctrl-C. Data and logs stay in ./data. A member that ends by itself is
 * reported and not started again.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dataDir = join(root, 'data');
const kvd = join(root, 'packages', 'kvd', 'bin', 'kvd.js');
const healthyWithinMs = 60_000;

const members = [
  { name: 'm1', clientPort: 2379, peerPort: 2380 },
  { name: 'm2', clientPort: 22379, peerPort: 22380 },
  { name: 'm3', clientPort: 32379, peerPort: 32380 },
].map((member) => ({
  ...member,
  clientUrl: `http://127.0.0.1:${member.clientPort}`,
  peerUrl: `http://127.0.0.1:${member.peerPort}`,
  log: join(dataDir, `${member.name}.log`),
}));

/** Running processes by member. */
const running = new Map();
let stopping = false;

const taken = await takenPorts();
if (taken.length > 0) {
  console.error(`start: in use already: ${taken.join(', ')} on 127.0.0.1; is another cluster running?`);
  process.exit(1);
}
mkdirSync(dataDir, { recursive: true, mode: 0o700 });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
for (const member of members) launch(member);
await Promise.all(members.map(healthy));
if (!stopping) announce();

async function takenPorts() {
  const ports = members.flatMap(({ clientPort, peerPort }) => [clientPort, peerPort]);
  const free = await Promise.all(ports.map(isFree));
  return ports.filter((_, i) => !free[i]);
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}

function launch(member) {
  const { name, clientUrl, peerUrl, log } = member;
  const args = [
    ...[kvd, '--name', name, '--data-dir', join(dataDir, name)],
    ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
    ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
    ...['--initial-cluster', members.map((one) => `${one.name}=${one.peerUrl}`).join(',')],
    ...['--initial-cluster-token', 'quorate-start', '--log-outputs', log],
  ];
  // In a group of its own: Ctrl-C reaches this process alone, which then ends the members in good order.
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  running.set(member, child);
  child.on('exit', (code, signal) => ended(member, code ?? signal));
}

function ended(member, how) {
  running.delete(member);
  if (!stopping) {
    console.error(
      `start: member ${member.name} ended with ${how}; the end of ${member.log}:\n${lastLines(member.log)}`,
    );
    if (running.size > 0) console.error(`start: ${running.size} of ${members.length} members go on`);
  }
  if (running.size > 0) return;
  console.log('start: all members have stopped, the data stays in ./data');
  process.exit(stopping ? 0 : 1);
}

async function healthy(member) {
  const deadline = Date.now() + healthyWithinMs;
  while (running.has(member) && !stopping && Date.now() < deadline) {
    const answer = await fetch(`${member.clientUrl}/health`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  if (stopping) return;
  console.error(`start: member ${member.name} is not healthy; its log is ${member.log}`);
  process.exitCode = 1;
  await stop();
}

function announce() {
  const lines = members.map(({ name, clientUrl, log }) => `  ${name}  ${clientUrl}  log ${log}`);
  console.log(`A cluster of three members is running:

${lines.join('\n')}

In another terminal:

  npx kvctl put hello world
  npx kvctl get hello --endpoints 127.0.0.1:22379
  npx kvctl endpoint status --endpoints ${members.map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(',')} -w table

Ctrl-C stops it; the data stays in ./data.`);
}

/**
 * The first call ends the members one after another, so that one that leads has somebody to hand leadership to; a second call
 * kills what still runs.
 */
async function stop() {
  if (stopping) {
    console.error('start: killing the members');
    for (const child of running.values()) child.kill('SIGKILL');
    return;
  }
  stopping = true;
  console.log('start: stopping');
  for (const child of [...running.values()]) {
    const gone = once(child, 'exit');
    if (child.exitCode !== null || child.signalCode !== null || !child.kill('SIGTERM')) continue;
    await gone;
  }
}

function lastLines(path) {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
  } catch {
    return '(there is none)';
  }
}
