#!/usr/bin/env node
/**
 * Nanoseconds per operation of the codecs on the hot path, beside protobufjs for scale. Needs a build.
 *
 *   node packages/proto/scripts/bench.mjs            every case, each in a process of its own
 *   node packages/proto/scripts/bench.mjs <name>     one case in this process
 *
 * Prints the fastest and the median of nine rounds.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import * as proto from '../dist/index.js';

const key = Buffer.from('k'.repeat(32));
const keyText = key.toString('latin1');
const value = Buffer.alloc(256, 7);
const ids = { clusterId: 0x1234567890abcdefn, memberId: 0xfedcba0987654321n };
const put = proto.PutRequest.create({ key, value });
const putWithLease = proto.PutRequest.create({ key, value, lease: 0x1234567890abcdefn });
const command = proto.InternalRaftRequest.create({
  header: proto.RequestHeader.create({ id: 123456789, proposer: ids.memberId }),
  put,
});
const kv = proto.KeyValue.create({ key, value, createRevision: 100000, modRevision: 200000, version: 12 });
const kvBytes = proto.KeyValue.encode(kv);
const header = proto.ResponseHeader.create({ ...ids, revision: 200000, raftTerm: 7 });
const headerPrefix = proto.encodeHeaderPrefix({ ...ids, raftTerm: 7 });
const entries = Array.from({ length: 100 }, (_, i) =>
  proto.Entry.create({ term: 7, index: 1000 + i, data: proto.InternalRaftRequest.encode(command) }),
);
const batch = proto.Batch.create({
  messages: [proto.Message.create({ type: 3, to: ids.memberId, from: ids.clusterId, term: 7, index: 999, entries })],
});

const decode = (codec, message) => {
  const bytes = codec.encode(message);
  return () => codec.decode(bytes);
};
const encode = (codec, message) => () => codec.encode(message);
const rangeParts = (kvs) => ({ headerPrefix, revision: 200000, kvs, more: false, count: kvs.length });

const cases = {
  'PutRequest.decode': () => decode(proto.PutRequest, put),
  'PutRequest.encode': () => encode(proto.PutRequest, put),
  'PutRequest.decode, lease': () => decode(proto.PutRequest, putWithLease),
  'PutRequest.encode, lease': () => encode(proto.PutRequest, putWithLease),
  'protobufjs PutRequest decode': () => {
    const type = reflected('etcdserverpb.PutRequest');
    const bytes = proto.PutRequest.encode(put);
    return () => type.decode(bytes);
  },
  'protobufjs PutRequest encode': () => {
    const type = reflected('etcdserverpb.PutRequest');
    const message = type.fromObject({ key, value });
    return () => type.encode(message).finish();
  },
  'RangeRequest.decode': () => decode(proto.RangeRequest, proto.RangeRequest.create({ key })),
  'InternalRaftRequest.decode': () => decode(proto.InternalRaftRequest, command),
  'InternalRaftRequest.encode': () => encode(proto.InternalRaftRequest, command),
  'KeyValue.decode': () => decode(proto.KeyValue, kv),
  'KeyValue.encode': () => encode(proto.KeyValue, kv),
  encodeKeyValue: () => (i) =>
    proto.encodeKeyValue({
      key: keyText,
      createRevision: 100000,
      modRevision: 200000 + (i & 1023),
      version: 12,
      value,
      lease: 0n,
    }),
  readKeyValueKey: () => () => proto.readKeyValueKey(kvBytes),
  readKeyValueModRevision: () => () => proto.readKeyValueModRevision(kvBytes),
  encodePutResponse: () => () => proto.encodePutResponse({ headerPrefix, revision: 200000, prevKv: undefined }),
  'PutResponse.encode': () => encode(proto.PutResponse, proto.PutResponse.create({ header })),
  'encodeRangeResponse, 1 kv': () => () => proto.encodeRangeResponse(rangeParts([kvBytes])),
  'RangeResponse.encode, 1 kv': () =>
    encode(proto.RangeResponse, proto.RangeResponse.create({ header, kvs: [kv], count: 1 })),
  'encodeRangeResponse, 1000 kvs': () => {
    const parts = rangeParts(Array.from({ length: 1000 }, () => kvBytes));
    return () => proto.encodeRangeResponse(parts);
  },
  encodeEvent: () => () => proto.encodeEvent(0, kvBytes, undefined),
  'Batch.encode, 100 entries': () => encode(proto.Batch, batch),
  'Batch.decode, 100 entries': () => decode(proto.Batch, batch),
  'new KvError': () => () => new proto.KvError('compacted'),
  'for scale: Buffer.allocUnsafe(300)': () => () => Buffer.allocUnsafe(300),
  'for scale: buffer.subarray': () => () => kvBytes.subarray(2, 34),
};

function reflected(name) {
  const root = new protobuf.Root();
  for (const file of ['kv', 'auth', 'rpc']) {
    const path = fileURLToPath(new URL(`../../../proto/${file}.proto`, import.meta.url));
    protobuf.parse(readFileSync(path, 'utf8'), root, { keepCase: true });
  }
  return root.resolveAll().lookupType(name);
}

const nanosecondsPerSecond = 1e9;
const kept = [];

/** Nanoseconds per call over `count` calls. Results are kept alive for a while, as real ones are. */
function round(operation, count) {
  const started = process.hrtime();
  for (let i = 0; i < count; i++) kept[i & 255] = operation(i);
  const [seconds, nanoseconds] = process.hrtime(started);
  return (seconds * nanosecondsPerSecond + nanoseconds) / count;
}

function measure(name) {
  const operation = cases[name]();
  const count = Math.max(1000, Math.round(1e8 / round(operation, 20000)));
  const rounds = Array.from({ length: 9 }, () => round(operation, count)).sort((a, b) => a - b);
  console.log(`${name.padEnd(36)} ${rounds[0].toFixed(0).padStart(7)} ns   median ${rounds[4].toFixed(0)}`);
}

const wanted = process.argv[2];
if (wanted !== undefined) measure(wanted);
else for (const name of Object.keys(cases)) spawnSync(process.execPath, [process.argv[1], name], { stdio: 'inherit' });
