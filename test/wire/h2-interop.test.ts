/**
 * Clients that others wrote against the direct HTTP/2 transport: Go's gRPC inside etcdctl, the C core inside Python's grpcio,
 * nghttp2 inside node:http2, curl, and programs of its own. They talk to a small service in this process; what is not installed is skipped, visibly.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@quorate/base';
import {
  KeyValue,
  KvError,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  PutRequest,
  PutResponse,
  RangeResponse,
  SnapshotResponse,
  services,
  WatchResponse,
} from '@quorate/proto';
import { Port, type ServerStream, serveDefaults, serveH2, serviceHandlers } from '@quorate/rpc';
import { nodeClock } from '@quorate/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installedEtcds } from '../support/etcd-process.ts';

const snapshotBytes = 20 * 1024 * 1024;
const header = { clusterId: 1n, memberId: 1n, revision: 1, raftTerm: 1 };

/** Keys and values in the order they were put, and everyone who watches. */
class FakeStore {
  readonly values = new Map<string, Buffer>();
  readonly watchers = new Set<ServerStream<WatchResponse>>();

  kvs(from: Buffer, to: Buffer): KeyValue[] {
    const lo = from.toString('latin1');
    const hi = to.toString('latin1');
    return [...this.values]
      .filter(([key]) => (hi === '' ? key === lo : key >= lo && (hi === '\0' || key < hi)))
      .map(([key, value]) => KeyValue.create({ key: Buffer.from(key, 'latin1'), value, modRevision: 1, version: 1 }));
  }

  put({ key, value }: PutRequest): void {
    this.values.set(key.toString('latin1'), Buffer.from(value));
    const kv = KeyValue.create({ key, value, modRevision: 1, version: 1 });
    const events = [{ type: 0, kv, prevKv: undefined }];
    for (const watcher of this.watchers) watcher.send(WatchResponse.create({ header, watchId: 0n, events }));
  }
}

/** A snapshot as etcd sends it: a body in whole blocks, then its checksum. */
function snapshotBlob(): Buffer {
  const body = Buffer.alloc(snapshotBytes, 'quorate');
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

function methods(store: FakeStore) {
  return [
    ...serviceHandlers(services.kv, {
      put: (request, _call, reply) => {
        store.put(request);
        reply.ok(PutResponse.create({ header }));
      },
      range: (request, call, reply) => {
        const key = request.key.toString();
        if (key === 'never') return;
        if (key === 'compacted') throw new KvError('compacted');
        if (key === 'metadata') {
          const value = Buffer.from(`${call.metadata.get('token')} ${call.metadata.get('trace-bin')}`);
          call.setTrailer('x-last', 'ä'.normalize('NFD').slice(0, 1));
          reply.ok(RangeResponse.create({ header, kvs: [KeyValue.create({ value })], count: 1 }));
          return;
        }
        const kvs = store.kvs(request.key, request.rangeEnd);
        // A little later, as a real member answers.
        setImmediate(() => reply.ok(RangeResponse.create({ header, kvs, count: kvs.length })));
      },
    }),
    ...serviceHandlers(services.watch, {
      watch: (requests, call, stream) => {
        call.onCancel(() => store.watchers.delete(stream));
        requests.onMessage((request) => {
          if (request.createRequest === undefined) return;
          stream.send(WatchResponse.create({ header, watchId: 0n, created: true }));
          store.watchers.add(stream);
        });
        requests.onEnd(() => stream.end());
      },
    }),
    ...serviceHandlers(services.lease, {
      leaseGrant: ({ ttl }, _call, reply) => reply.ok(LeaseGrantResponse.create({ header, id: 77n, ttl })),
      leaseKeepAlive: (requests, _call, stream) => {
        requests.onMessage(({ id }) => stream.send(LeaseKeepAliveResponse.create({ header, id, ttl: 60 })));
        requests.onEnd(() => stream.end());
      },
    }),
    ...serviceHandlers(services.maintenance, {
      snapshot: (_request, _call, stream) => {
        const blob = snapshotBlob();
        let at = 0;
        const more = (): void => {
          while (at < blob.length) {
            const part = blob.subarray(at, at + 32 * 1024);
            at += part.length;
            if (!stream.send(SnapshotResponse.create({ remainingBytes: blob.length - at, blob: part }))) return;
          }
          stream.end();
        };
        stream.onDrain(more);
        more();
      },
    }),
  ];
}

const store = new FakeStore();
const directory = mkdtempSync(join(tmpdir(), 'h2-interop-'));
let port: Port;
const transport = serveH2(methods(store), { ...serveDefaults, clock: nodeClock, logger: silentLogger });
beforeAll(async () => {
  port = await Port.listen({ host: '127.0.0.1', port: 0, clock: nodeClock, logger: silentLogger });
  port.serve({ rpc: transport, http: (_request, response) => response.end() });
});
afterAll(async () => {
  transport.close();
  await port.close(100);
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; not synchronously, since the server lives in this process. */
async function run(program: string, args: readonly string[], input: Buffer = Buffer.alloc(0)): Promise<Ended> {
  const child = spawn(program, args, { env: { ...process.env, ETCDCTL_API: '3' }, timeout: 60_000 });
  const out = collect(child);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: out.stdout(), stderr: out.stderr() };
}

function collect(child: ChildProcess): { stdout(): string; stderr(): string } {
  const parts: { out: Buffer[]; err: Buffer[] } = { out: [], err: [] };
  child.stdout?.on('data', (part: Buffer) => parts.out.push(part));
  child.stderr?.on('data', (part: Buffer) => parts.err.push(part));
  return {
    stdout: () => Buffer.concat(parts.out).toString('latin1'),
    stderr: () => Buffer.concat(parts.err).toString('latin1'),
  };
}

const etcds = installedEtcds();

if (etcds.length === 0) test.skip('Go, as etcdctl: not installed', () => {});

describe.each(etcds)('Go, as etcdctl $version', ({ etcdctl }) => {
  const ctl = (args: readonly string[], input?: Buffer): Promise<Ended> =>
    run(etcdctl, [`--endpoints=127.0.0.1:${port.number}`, '--dial-timeout=5s', ...args], input);

  test('puts and gets', async () => {
    expect(await ctl(['put', 'greeting', 'hello'])).toMatchObject({ code: 0, stdout: 'OK\n' });
    expect(await ctl(['get', 'greeting'])).toMatchObject({ code: 0, stdout: 'greeting\nhello\n' });
  });

  test('puts and gets a value of 1.4 MB', async () => {
    const value = 'x'.repeat(1_400_000);
    expect(await ctl(['put', 'large'], Buffer.from(value))).toMatchObject({ code: 0, stdout: 'OK\n' });
    const { stdout } = await ctl(['get', 'large', '--print-value-only']);
    expect(stdout.trimEnd() === value).toBe(true);
  });

  test('reads an answer of 20 MB', async () => {
    const value = Buffer.alloc(5_000, 'v');
    for (let i = 0; i < 4_000; i++) store.values.set(`many/${String(i).padStart(5, '0')}`, value);
    const { code, stdout } = await ctl(['get', '--prefix', 'many/']);
    expect(code).toBe(0);
    expect(stdout.split('\n').filter((line) => line.startsWith('many/')).length).toBe(4_000);
    expect(stdout.length).toBeGreaterThan(20_000_000);
  });

  test('is told a status in its own words', async () => {
    const { code, stderr } = await ctl(['get', 'compacted']);
    expect(code).toBe(1);
    expect(stderr).toContain('etcdserver: mvcc: required revision has been compacted');
  });

  test('gives up at its deadline', async () => {
    const { code, stderr } = await ctl(['--command-timeout=300ms', 'get', 'never']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('context deadline exceeded');
  });

  test('watches', async () => {
    const child = spawn(etcdctl, [`--endpoints=127.0.0.1:${port.number}`, 'watch', 'watched'], {
      env: { ...process.env, ETCDCTL_API: '3' },
      timeout: 60_000,
    });
    const out = collect(child);
    while (store.watchers.size === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    for (let i = 0; i < 3; i++)
      store.put(PutRequest.create({ key: Buffer.from('watched'), value: Buffer.from(`v${i}`) }));
    while (!out.stdout().includes('v2')) await once(child.stdout, 'data');
    child.kill();
    await once(child, 'close');
    while (store.watchers.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(out.stdout()).toBe('PUT\nwatched\nv0\nPUT\nwatched\nv1\nPUT\nwatched\nv2\n');
  });

  test('keeps a lease alive', async () => {
    expect((await ctl(['lease', 'grant', '60'])).stdout).toContain('lease 000000000000004d granted with TTL(60s)');
    expect((await ctl(['lease', 'keep-alive', '--once', '4d'])).stdout).toContain('keepalived with TTL(60)');
  });

  test('saves a snapshot of 20 MiB', async () => {
    const path = join(directory, `${etcdctl.replaceAll('/', '_')}.snap`);
    const { code, stderr } = await ctl(['snapshot', 'save', path]);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(readFileSync(path).equals(snapshotBlob())).toBe(true);
  });
});

describe('nghttp2, as node:http2', () => {
  test('a thousand calls at a time on one connection', async () => {
    const session = connect(`http://127.0.0.1:${port.number}`);
    const message = PutRequest.encode(PutRequest.create({ key: Buffer.from('k'), value: Buffer.alloc(500) }));
    const body = Buffer.concat([Buffer.from([0]), Buffer.alloc(4), message]);
    body.writeUInt32BE(message.length, 1);
    const call = (i: number): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const stream = session.request({
          ':method': 'POST',
          ':path': services.kv.methods.put.path,
          'content-type': 'application/grpc',
          te: 'trailers',
          token: `token ${i % 7}`,
          'grpc-timeout': `${5_000_000 - i}u`,
        });
        stream.on('error', reject);
        stream.on('trailers', (trailers) => resolve(trailers['grpc-status']));
        stream.resume();
        stream.end(body);
      });
    const statuses = await Promise.all(Array.from({ length: 1_000 }, (_, i) => call(i)));
    expect(new Set(statuses)).toEqual(new Set(['0']));
    session.close();
    await once(session, 'close');
  });
});

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A file with one put, length-prefixed, and the fields of a call, as programs for HTTP take them. */
function putByHand(): { body: string; url: string; fields: string[] } {
  const message = PutRequest.encode(PutRequest.create({ key: Buffer.from('by hand'), value: Buffer.from('v') }));
  const body = join(directory, 'put');
  writeFileSync(body, Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  const url = `http://127.0.0.1:${port.number}${services.kv.methods.put.path}`;
  return { body, url, fields: ['-H', 'content-type: application/grpc', '-H', 'te: trailers'] };
}

describe.skipIf(!isInstalled('nghttp'))('nghttp2, as its own programs', () => {
  test.each([
    ['with priorities', []],
    ['with padding and a header block in pieces', ['--padding=200', '--continuation']],
    ['with small windows', ['--window-bits=1', '--connection-window-bits=1']],
    ['with trailers, many times', ['--trailer=x: y', '--multiply=20']],
    ['with a header table that shrinks and grows', ['--header-table-size=0', '--header-table-size=4096']],
  ])('nghttp puts %s', async (_how, options) => {
    const { body, url, fields } = putByHand();
    const args = ['--verbose', '--no-verify-peer', ...options, '-H', ':method: POST', ...fields, '-d', body, url];
    const { code, stdout, stderr } = await run('nghttp', args);
    expect([code, stderr]).toEqual([0, '']);
    const count = options.includes('--multiply=20') ? 20 : 1;
    expect(stdout.match(/recv \(stream_id=\d+\) grpc-status: 0/g)?.length).toBe(count);
    expect(stdout).not.toMatch(/recv (?:RST_STREAM|GOAWAY)/);
  });

  test('h2load puts two thousand times over four connections', async () => {
    const { body, url, fields } = putByHand();
    const { code, stdout } = await run('h2load', ['-n', '2000', '-c', '4', '-m', '50', '-d', body, ...fields, url]);
    expect(code).toBe(0);
    expect(stdout).toContain('2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout');
    expect(stdout).toContain('status codes: 2000 2xx');
  });
});

describe.skipIf(!isInstalled('curl'))('curl', () => {
  test('puts with prior knowledge, and sees the trailers', async () => {
    const { body, url, fields } = putByHand();
    const args = ['--silent', '--http2-prior-knowledge', '--dump-header', '-', '--output', join(directory, 'answer')];
    const { code, stdout } = await run('curl', [...args, '--data-binary', `@${body}`, ...fields, url]);
    expect(code).toBe(0);
    expect(stdout.split(/\r?\n/).filter((line) => line !== '')).toEqual([
      expect.stringMatching(/^HTTP\/2 200/),
      'content-type: application/grpc',
      'grpc-status: 0',
    ]);
  });

  test('is answered in HTTP/1.1 where it offers to upgrade', async () => {
    const url = `http://127.0.0.1:${port.number}/health`;
    const { code, stdout } = await run('curl', ['--silent', '--http2', '--dump-header', '-', url]);
    expect([code, stdout.split('\r\n')[0]]).toEqual([0, 'HTTP/1.1 200 OK']);
  });
});

const python = '/usr/bin/python3';
const hasPython = (() => {
  try {
    execFileSync(python, ['-c', 'import grpc'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasPython)('the C core, as grpcio of Python', () => {
  /** Raw bytes in and out: what is tested is the transport. */
  const script = `
import grpc, sys, threading
channel = grpc.insecure_channel(sys.argv[1], options=[('grpc.max_receive_message_length', -1)])
same = lambda b: b
put = channel.unary_unary('/etcdserverpb.KV/Put', same, same)
get = channel.unary_unary('/etcdserverpb.KV/Range', same, same)
keep = channel.stream_stream('/etcdserverpb.Lease/LeaseKeepAlive', same, same)
snap = channel.unary_stream('/etcdserverpb.Maintenance/Snapshot', same, same)
def field(number, value): return bytes([number << 3 | 2]) + varint(len(value)) + value
def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])
def status(call):
    try: call(); return 'OK'
    except grpc.RpcError as e: return e.code().name + ': ' + e.details()
for size in (0, 10, 100000, 1500000):
    put(field(1, b'py') + field(2, b'v' * size), timeout=10, wait_for_ready=True)
    print(size, get(field(1, b'py'), timeout=10).count(b'v') >= size)
print('gzip', len(put(field(1, b'z') + field(2, b'a' * 100000), compression=grpc.Compression.Gzip, timeout=10)) > 0)
answer, call = get.with_call(field(1, b'metadata'), metadata=(('token', 'abc'), ('trace-bin', b'\\x00\\xff')), timeout=10)
print(b'abc AP8=' in answer, dict(call.trailing_metadata()).get('x-last'))
print(status(lambda: get(field(1, b'compacted'), timeout=10)))
print(status(lambda: get(field(1, b'never'), timeout=0.2)))
print(status(lambda: channel.unary_unary('/a.B/C', same, same)(b'', timeout=10)))
print(status(lambda: put(b'\\x0a\\xff', timeout=10)))
print(sum(1 for _ in keep(iter([b'\\x08\\x07'] * 100), timeout=10)))
parts = list(snap(b'', timeout=30))
print(len(parts), sum(map(len, parts)) > ${snapshotBytes})
errors = []
def work():
    for _ in range(50):
        if status(lambda: put(field(1, b'k'), timeout=10)) != 'OK': errors.append(1)
threads = [threading.Thread(target=work) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print('errors', len(errors))
`;

  test('calls of every kind', async () => {
    const { stdout, stderr } = await run(python, ['-c', script, `127.0.0.1:${port.number}`]);
    expect([stdout.trimEnd().split('\n'), stderr]).toEqual([
      [
        '0 True',
        '10 True',
        '100000 True',
        '1500000 True',
        'gzip True',
        'True a',
        'OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted',
        // Client and server look at the same deadline; whose words these are depends on who is first.
        expect.stringMatching(/^DEADLINE_EXCEEDED: /),
        'UNIMPLEMENTED: unknown service a.B',
        expect.stringMatching(/^INTERNAL: grpc: error unmarshalling request/),
        '100',
        '641 True',
        'errors 0',
      ],
      '',
    ]);
  }, 60_000);
});
