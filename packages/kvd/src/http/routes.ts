/** The HTTP/1.1 side of a port: which path is answered by whom. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { FatalError, type Logger, type Meter } from '@quorate/base';
import { ChecksEndpoint, memberChecks } from './checks.ts';
import { HealthEndpoint } from './health.ts';
import type { HealthSource } from './health-source.ts';
import { errorText, isGet } from './respond.ts';

/** Gives the metrics in Prometheus' text format. */
export interface MetricsSource {
  readonly contentType: string;
  text(): Promise<string>;
}

export interface RouteOptions {
  readonly health: HealthSource;
  readonly metrics: MetricsSource;
  readonly meter: Meter;
  readonly logger: Logger;
}

/** The listeners of the two kinds of ports. */
export interface Routes {
  /** A client port: /health, /livez, /readyz, /version, /metrics. */
  readonly client: RequestListener;
  /** A port of `--listen-metrics-urls`: the same without /version. */
  readonly metrics: RequestListener;
}

type Route = (method: string | undefined, query: URLSearchParams, response: ServerResponse) => void | Promise<void>;

export function makeRoutes(options: RouteOptions): Routes {
  const { health, metrics, meter, logger } = options;
  const healthEndpoint = new HealthEndpoint(health, meter, logger);
  const checks = memberChecks(health);
  const livez = new ChecksEndpoint('livez', checks.livez, meter, logger);
  const readyz = new ChecksEndpoint('readyz', checks.readyz, meter, logger);
  const find = (path: string): Route | undefined => {
    if (path === '/health') return (method, query, response) => healthEndpoint.serve(method, query, response);
    if (path === '/metrics') return (_method, _query, response) => serveMetrics(metrics, response);
    for (const [prefix, endpoint] of [['/livez', livez] as const, ['/readyz', readyz] as const]) {
      if (path !== prefix && !path.startsWith(`${prefix}/`)) continue;
      return (method, query, response) => endpoint.serve(method, path.slice(prefix.length), query, response);
    }
    return undefined;
  };
  const version: Route = (method, _query, response) => serveVersion(method, health, response);
  return {
    client: listener((path) => (path === '/version' ? version : find(path)), logger),
    metrics: listener(find, logger),
  };
}

function listener(find: (path: string) => Route | undefined, logger: Logger): RequestListener {
  return (request, response) => {
    serve(find, request, response).catch((error: unknown) => {
      if (error instanceof FatalError) throw error;
      logger.error('answering a http request failed', { path: request.url, error: String(error) });
      response.destroy();
    });
  };
}

async function serve(
  find: (path: string) => Route | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Nothing here has a body to read.
  request.resume();
  const [path = '', query = ''] = splitOnce(request.url ?? '', '?');
  const route = find(path);
  if (route === undefined) errorText(response, 404, '404 page not found');
  else await route(request.method, new URLSearchParams(query), response);
}

function serveVersion(method: string | undefined, health: HealthSource, response: ServerResponse): void {
  if (!isGet(method, response)) return;
  const { server, cluster, storage } = health.versions();
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ etcdserver: server, etcdcluster: cluster, storage }));
}

async function serveMetrics(metrics: MetricsSource, response: ServerResponse): Promise<void> {
  response.setHeader('Content-Type', metrics.contentType);
  response.end(await metrics.text());
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
