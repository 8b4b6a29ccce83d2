#!/usr/bin/env node
/**
 * Writes packages/proto/src/gen from proto/*.proto: `npm run gen`. With --check writes nothing and fails when what is
 * committed differs from what would be written. protobufjs parses; the templates are in emit-messages.mjs and emit-services.mjs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { emitMessages } from './emit-messages.mjs';
import { emitServices } from './emit-services.mjs';

// Imports come before importers. `out` is the file in src/gen, which holds one protobuf package.
const sources = [
  { proto: 'kv.proto', out: 'mvccpb' },
  { proto: 'auth.proto', out: 'authpb' },
  { proto: 'rpc.proto', out: 'etcdserverpb' },
  { proto: 'v3lock.proto', out: 'v3lockpb' },
  { proto: 'v3election.proto', out: 'v3electionpb' },
  { proto: 'health.proto', out: 'health' },
  { proto: 'raft.proto', out: 'raftpb' },
  { proto: 'wal.proto', out: 'walpb' },
  { proto: 'snap.proto', out: 'snappb' },
  { proto: 'internal.proto', out: 'internalpb' },
  { proto: 'peer.proto', out: 'peerpb' },
];

const here = dirname(fileURLToPath(import.meta.url));
const protoDirectory = join(here, '../../../proto');
const outDirectory = join(here, '../src/gen');

/** Path to text of every generated file. */
function generate() {
  const root = new protobuf.Root();
  const files = sources.map(({ proto, out }) => {
    const text = readFileSync(join(protoDirectory, proto), 'utf8');
    const parsed = protobuf.parse(text, root, { keepCase: true, alternateCommentMode: true });
    return { proto, out, namespace: root.lookup(parsed.package) };
  });
  root.resolveAll();
  const outputs = new Map();
  for (const file of files) outputs.set(join(outDirectory, `${file.out}.ts`), emitMessages(file, files));
  outputs.set(join(outDirectory, 'services.ts'), emitServices(files));
  return outputs;
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

const checking = process.argv.includes('--check');
let stale = 0;
for (const [path, text] of generate()) {
  if (readIfThere(path) === text) continue;
  stale++;
  if (checking) {
    console.error(`stale: ${path}`);
    continue;
  }
  mkdirSync(outDirectory, { recursive: true });
  writeFileSync(path, text);
  console.log(`wrote ${path}`);
}
if (checking && stale > 0) process.exit(1);
