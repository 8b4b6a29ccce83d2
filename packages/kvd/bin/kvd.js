#!/usr/bin/env node
// CommonJS (see package.json beside this file), because the size of libuv's thread pool must be set before anything uses it, and
// Node's loader of ES modules already does. The pool is shared by syncs of the log, commits of the store and name look-ups.
process.env.UV_THREADPOOL_SIZE ??= '8';
// kvd logs for itself; grpc-js would write to stderr past the log.
process.env.GRPC_VERBOSITY ??= 'NONE';
// The young generation is collected on this thread alone: little of it survives, and to wake helpers for that costs more CPU than it
// saves time, on cores that other members, clients and the kernel want too.
require('node:v8').setFlagsFromString('--no-parallel-scavenge');

void import('../dist/main.js').then(({ main }) => main(process.argv.slice(2), process.env));
