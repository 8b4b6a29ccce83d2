#!/usr/bin/env node
// CommonJS (see package.json beside this file), because the size of libuv's thread pool must be set before anything uses it, and
// Node's loader of ES modules already does. The pool is shared by syncs of the log, commits of the store and name look-ups.
process.env.UV_THREADPOOL_SIZE ??= '8';
// kvd logs for itself; grpc-js would write to stderr past the log.
process.env.GRPC_VERBOSITY ??= 'NONE';

void import('../dist/main.js').then(({ main }) => main(process.argv.slice(2), process.env));
