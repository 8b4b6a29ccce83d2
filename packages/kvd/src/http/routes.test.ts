import { createServer, type IncomingHttpHeaders, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { silentLogger, silentMeter } from '@quorate/base';
import { AlarmType, KvError } from '@quorate/proto';
import { PromMeter } from '@quorate/runtime';
import { afterEach, describe, expect, test } from 'vitest';
import type { HealthSource } from './health-source.ts';
import { makeRoutes } from './routes.ts';

const healthy: HealthSource = {
  alarms: () => [],
  hasLeader: () => true,
  isLearner: () => false,
  serializableRead: async () => {},
  linearizableRead: async () => {},
  space: () => ({ pressure: 'high', inUseBytes: 85, quotaBytes: 100, run: 'kvctl compaction 7 --physical' }),
  versions: () => ({ server: '3.6.14', cluster: '3.6.0', storage: '3.6.0' }),
};

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function get(
  path: string,
  source: Partial<HealthSource> = {},
  options: { method?: string; port?: 'client' | 'metrics'; meter?: PromMeter } = {},
): Promise<Answer> {
  const routes = makeRoutes({
    health: { ...healthy, ...source },
    metrics: { contentType: 'text/plain; version=0.0.4', text: async () => options.meter?.text() ?? 'a_metric 1\n' },
    meter: options.meter ?? silentMeter,
    logger: silentLogger,
  });
  const server = createServer(routes[options.port ?? 'client']);
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      const call = request(
        { host: '127.0.0.1', port, path, method: options.method ?? 'GET', agent: false },
        (response) => {
          let body = '';
          response.on('data', (chunk) => {
            body += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
        },
      );
      call.on('error', reject);
      call.end();
    });
  });
}

const noLeader = { hasLeader: () => false, linearizableRead: () => Promise.reject(new KvError('noLeader')) };
const refuses = () => Promise.reject(new KvError('stopped'));

describe('/health', () => {
  // Bytes as etcd 3.5.30 sends them.
  test('is 200 with health as a string', async () => {
    const { status, headers, body } = await get('/health');
    expect({ status, body }).toEqual({ status: 200, body: '{"health":"true","reason":""}' });
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  test('tells who asks for more how full the store is', async () => {
    const { body } = await get('/health?verbose');
    const space = { pressure: 'high', inUseBytes: 85, quotaBytes: 100, run: 'kvctl compaction 7 --physical' };
    expect(JSON.parse(body)).toEqual({ health: 'true', reason: '', space });
  });

  test.each(['POST', 'HEAD', 'DELETE'])('refuses %s with 405 and Allow', async (method) => {
    const { status, headers, body } = await get('/health', {}, { method });
    expect(status).toBe(405);
    expect(headers).toMatchObject({ allow: 'GET', 'x-content-type-options': 'nosniff', 'content-length': '19' });
    expect(body).toBe(method === 'HEAD' ? '' : 'Method Not Allowed\n');
  });

  test.each([
    ['an alarm for space', { alarms: () => [AlarmType.NOSPACE] }, 'ALARM NOSPACE'],
    ['an alarm for corruption', { alarms: () => [AlarmType.CORRUPT] }, 'ALARM CORRUPT'],
    ['an alarm nobody knows', { alarms: () => [9] }, 'ALARM UNKNOWN'],
    ['no leader', noLeader, 'RAFT NO LEADER'],
    [
      'a read that fails',
      { linearizableRead: () => Promise.reject(new KvError('timeout')) },
      'RANGE ERROR:etcdserver: request timed out',
    ],
  ])('is 503 with %s', async (_what, source, reason) => {
    const { status, headers, body } = await get('/health', source);
    expect({ status, body }).toEqual({ status: 503, body: `{"health":"false","reason":"${reason}"}\n` });
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  test('names the alarm before the missing leader', async () => {
    const { body } = await get('/health', { ...noLeader, alarms: () => [AlarmType.NOSPACE] });
    expect(body).toContain('ALARM NOSPACE');
  });

  test('can exclude alarms, one or more', async () => {
    const alarms = () => [AlarmType.NOSPACE, AlarmType.CORRUPT];
    expect((await get('/health?exclude=NOSPACE', { alarms })).body).toContain('ALARM CORRUPT');
    expect((await get('/health?exclude=NOSPACE&exclude=CORRUPT', { alarms })).status).toBe(200);
    expect((await get('/health?exclude=nospace', { alarms })).status).toBe(503);
  });

  test('asks this member alone when told to', async () => {
    expect((await get('/health?serializable=true', noLeader)).status).toBe(200);
    expect((await get('/health?serializable=yes', noLeader)).status).toBe(503);
    const { body } = await get('/health?serializable=true', { serializableRead: refuses });
    expect(body).toContain('RANGE ERROR:etcdserver: server stopped');
  });

  test('is counted', async () => {
    const meter = new PromMeter({ processMetrics: false });
    await get('/health', {}, { meter });
    await get('/health', noLeader, { meter });
    const text = await meter.text();
    expect(text).toMatch(/^etcd_server_health_success 1$/m);
    expect(text).toMatch(/^etcd_server_health_failures 1$/m);
  });
});

describe('/livez and /readyz', () => {
  test('say ok', async () => {
    for (const path of ['/livez', '/readyz', '/livez/serializable_read', '/readyz/non_learner']) {
      const { status, headers, body } = await get(path);
      expect({ path, status, body }).toEqual({ path, status: 200, body: 'ok\n' });
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
  });

  test('list their checks when asked to', async () => {
    expect((await get('/livez?verbose')).body).toBe('[+]serializable_read ok\nok\n');
    expect((await get('/readyz?verbose')).body.split('\n').sort()).toEqual(
      [
        '',
        '[+]data_corruption ok',
        '[+]linearizable_read ok',
        '[+]non_learner ok',
        '[+]serializable_read ok',
        'ok',
      ].sort(),
    );
    expect((await get('/readyz/linearizable_read?verbose')).body).toBe('[+]linearizable_read ok\nok\n');
  });

  test('list all checks when one fails', async () => {
    const { status, body } = await get('/readyz', noLeader);
    expect(status).toBe(503);
    expect(body.split('\n')).toEqual([
      '[+]data_corruption ok',
      '[+]serializable_read ok',
      '[-]linearizable_read failed: etcdserver: no leader',
      '[+]non_learner ok',
      '',
      '',
    ]);
  });

  test('a member without a leader lives and is not ready', async () => {
    expect((await get('/livez', noLeader)).status).toBe(200);
    expect((await get('/readyz', noLeader)).status).toBe(503);
  });

  test.each([
    ['data_corruption', { alarms: () => [AlarmType.CORRUPT] }, 'alarm activated: CORRUPT'],
    ['non_learner', { isLearner: () => true }, 'not supported for learner'],
    ['serializable_read', { serializableRead: refuses }, 'etcdserver: server stopped'],
  ])('%s fails by itself', async (name, source, reason) => {
    expect((await get(`/readyz/${name}`, source)).body).toBe(`[-]${name} failed: ${reason}\n\n`);
    expect((await get(`/readyz?exclude=${name}`, source)).status).toBe(200);
  });

  test('know nothing of other checks and other methods', async () => {
    expect((await get('/livez/linearizable_read')).status).toBe(404);
    expect((await get('/readyz/')).status).toBe(404);
    expect((await get('/readyz/constructor')).status).toBe(404);
    expect((await get('/livezz')).status).toBe(404);
    expect((await get('/readyz', {}, { method: 'POST' })).status).toBe(405);
    expect((await get('/readyz?exclude=nope')).status).toBe(200);
  });

  test('are counted by check and result', async () => {
    const meter = new PromMeter({ processMetrics: false });
    await get('/readyz', noLeader, { meter });
    const text = await meter.text();
    expect(text).toContain('etcd_server_healthcheck{type="readyz",name="linearizable_read"} 0');
    expect(text).toContain('etcd_server_healthcheck{type="readyz",name="serializable_read"} 1');
    expect(text).toContain('etcd_server_healthchecks_total{type="readyz",name="linearizable_read",status="error"} 1');
    expect(text).toContain('etcd_server_healthchecks_total{type="livez",name="serializable_read",status="success"} 0');
  });
});

describe('other paths', () => {
  test('/version tells the versions as etcd does', async () => {
    const { headers, body } = await get('/version');
    expect(headers['content-type']).toBe('application/json');
    expect(body).toBe('{"etcdserver":"3.6.14","etcdcluster":"3.6.0","storage":"3.6.0"}');
    expect((await get('/version', {}, { method: 'POST' })).status).toBe(405);
  });

  test('/metrics gives the metrics', async () => {
    expect((await get('/metrics')).body).toBe('a_metric 1\n');
  });

  test.each(['/', '/nope', '/health/x', '*'])('%s is not found, in the words of Go', async (path) => {
    const { status, headers, body } = await get(path);
    expect({ status, body }).toEqual({ status: 404, body: '404 page not found\n' });
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  test('a metrics port has no /version', async () => {
    expect((await get('/version', {}, { port: 'metrics' })).status).toBe(404);
    expect((await get('/health', {}, { port: 'metrics' })).status).toBe(200);
    expect((await get('/metrics', {}, { port: 'metrics' })).status).toBe(200);
  });
});
