/**
 * A member with everything a process puts around it: its directories, ports, metrics and health. Starting goes
 *
 *   own the directories → bind the ports → check the founding cluster (no data yet) → start the member
 *     → serve metrics ports → wait until the cluster knows the member → serve client ports
 *
 * so that what is wrong with the command line is found before anything is written. Stopping goes backwards: take no new calls and
 * let running ones end, then hand leadership over and close the member, then let the directories go.
 */
import { join, resolve as resolvePath } from 'node:path';
import { type Clock, type CrashPoints, formatId, type Logger, type Meter } from '@quorate/base';
import {
  clientVersionGuard,
  instrument,
  LeaderMonitor,
  learnerGuard,
  loadGrpcJs,
  Port,
  type RpcTransport,
  requestOverheadBytes,
  type ServeRpc,
  serveDefaults,
  serveH2,
} from '@quorate/rpc';
import {
  acquireDataDir,
  type DataDir,
  leaveNote,
  nodeClock,
  nodeRuntime,
  observeFileDescriptors,
  PromMeter,
  watchEventLoop,
} from '@quorate/runtime';
import {
  damageNote,
  etcdVersion,
  GrpcPeerTransport,
  isStoreDamage,
  Member,
  memberServices,
  type Runtime,
  rebuildAdvice,
  type StartError,
  walDirectory,
} from '@quorate/server';
import type { TlsSettings } from '@quorate/tls';
import type { DaemonConfig } from './config.ts';
import { endSettings, peerEndSettings } from './end-settings.ts';
import type { HostUrl } from './flags/urls.ts';
import { checkFounding, type ResolveHost } from './founding.ts';
import { makeRoutes } from './http/routes.ts';
import { memberHealth } from './member-health.ts';

/** How long running calls may take to end when the daemon stops. Streams that stay open for ever do not hold it up longer. */
const drainLimitMs = 2_000;
/** Requests beyond this are served but hurt everybody (etcd: recommended-request-bytes). */
const recommendedRequestBytes = 10 * 1024 * 1024;

export interface DaemonOptions {
  readonly logger: Logger;
  readonly crash: CrashPoints;
  readonly resolveHost: ResolveHost;
  /** The cluster does not know this member any more: stop it and end the process. */
  readonly onExpelled: (error: StartError) => void;
  /** Must end the process. */
  readonly onFatal: (error: unknown) => void;
}

export class Daemon {
  readonly #config: DaemonConfig;
  readonly #options: DaemonOptions;
  readonly #clock: Clock = nodeClock;
  readonly #meter = new PromMeter({ processMetrics: true });
  readonly #directories: DataDir[] = [];
  readonly #clientPorts: Port[] = [];
  readonly #metricsPorts: Port[] = [];
  /** Undone in reverse order at the end. */
  readonly #watches: (() => void)[] = [];
  /** The start up to a running member. */
  #booting: Promise<Member> | undefined;
  #stopping = false;
  #transport: RpcTransport | undefined;

  constructor(config: DaemonConfig, options: DaemonOptions) {
    this.#config = config;
    this.#options = options;
  }

  /**
   * Resolves when clients are served, or when it was stopped before. Rejects with ConfigError, StartError, ListenError or
   * StorageError when it cannot be started as told; the process is to end then, whatever was begun. Call it once.
   */
  async start(): Promise<void> {
    this.#booting = this.#boot();
    const member = await this.#booting;
    if (!this.#stopping) await this.#serve(member);
  }

  /**
   * Before the process ends because of `error`: if the store is damaged, leaves a note of it, so that no start takes the store
   * again. Synchronous, as nothing else of this process is to be trusted with it.
   */
  noteDamage(error: unknown): void {
    const [dataDir] = this.#directories;
    if (!isStoreDamage(error) || dataDir === undefined) return;
    const path = join(dataDir.path, damageNote);
    this.#options.logger.error('the store is damaged: this member stops serving', {
      note: path,
      advice: rebuildAdvice,
    });
    leaveNote(path, `${new Date(this.#clock.wallMs()).toISOString()} ${error.message}\n`);
  }

  /** Ends running calls, hands leadership over, closes the store. Afterwards another process may have the directories. */
  async stop(): Promise<void> {
    const { logger } = this.#options;
    this.#stopping = true;
    // A failed start is reported by start().
    const member = await this.#booting?.catch(() => undefined);
    for (const undo of this.#watches.splice(0).reverse()) undo();
    const portsClosed = [...this.#clientPorts, ...this.#metricsPorts].map((port) => port.close(drainLimitMs));
    const draining = this.#transport?.drain(drainLimitMs);
    member?.endStreams();
    const drained = (await draining) ?? true;
    if (!drained) logger.info('ending streams that are still open');
    await member?.stop();
    this.#transport?.close();
    await Promise.all(portsClosed);
    for (const directory of this.#directories) await directory.release();
    logger.info('stopped');
  }

  async #boot(): Promise<Member> {
    const { listenClientUrls, listenMetricsUrls } = this.#config;
    const dataDir = await this.#own(this.#config.dataDir);
    const walDir = this.#config.walDir === undefined ? undefined : await this.#own(this.#config.walDir);
    const tls = endSettings(this.#config, dataDir, { clock: this.#clock, logger: this.#options.logger });
    await this.#bind(listenClientUrls, this.#clientPorts, tls);
    await this.#bind(listenMetricsUrls, this.#metricsPorts, tls);
    const peers = this.#peers(dataDir);
    await peers.listen();
    const runtime = this.#runtime(dataDir, walDir, peers);
    const isNew = (await runtime.disk.list(walDirectory)).length === 0;
    if (isNew) await checkFounding(this.#config, this.#options.resolveHost);
    return Member.start(this.#config.member, runtime);
  }

  async #own(path: string): Promise<string> {
    const directory = await acquireDataDir(resolvePath(path), this.#clock);
    this.#directories.push(directory);
    if (directory.isOpenToOthers) {
      this.#options.logger.warn('directory is open to other users, recommended mode is 0700', { path: directory.path });
    }
    return directory.path;
  }

  async #bind(urls: readonly HostUrl[], ports: Port[], settings: TlsSettings): Promise<void> {
    const { logger } = this.#options;
    for (const { scheme, host, port } of urls) {
      const tls = scheme === 'https' ? settings : undefined;
      ports.push(await Port.listen({ host, port, clock: this.#clock, logger, tls }));
    }
  }

  #peers(dataDir: string): GrpcPeerTransport {
    const { logger } = this.#options;
    const tls = peerEndSettings(this.#config, dataDir, { clock: this.#clock, logger });
    const listenUrls = this.#config.listenPeerUrls.map((url) => url.text);
    return new GrpcPeerTransport({
      listenUrls,
      tls,
      clock: this.#clock,
      logger,
      meter: this.#meter,
      version: etcdVersion,
    });
  }

  #runtime(dataDir: string, walDir: string | undefined, peers: GrpcPeerTransport): Runtime {
    const { logger, crash, onExpelled, onFatal } = this.#options;
    return nodeRuntime({ dataDir, walDir, peers, logger, meter: this.#meter, crash, onExpelled, onFatal });
  }

  async #serve(member: Member): Promise<void> {
    const { logger } = this.#options;
    const { listenClientUrls, listenMetricsUrls, maxConcurrentStreams } = this.#config;
    this.#observe(member);
    const health = memberHealth(member);
    const routes = makeRoutes({ health, metrics: this.#meter, meter: this.#meter, logger });
    for (const port of this.#metricsPorts) port.serve({ http: routes.metrics });
    for (const { text } of listenMetricsUrls) logger.info('serving metrics', { address: text });
    const serve = this.#config.rpcTransport === 'h2' ? serveH2 : await loadGrpcJs();
    await member.published();
    if (this.#stopping) return;
    const rpc = this.#serveRpc(serve, member, maxConcurrentStreams);
    this.#transport = rpc;
    for (const port of this.#clientPorts) port.serve({ rpc, http: routes.client });
    for (const { text, scheme } of listenClientUrls) {
      const how = scheme === 'https' ? 'securely' : 'insecurely; this is strongly discouraged';
      logger.info(`serving client traffic ${how}`, { address: text });
    }
    logger.info('ready to serve client requests');
  }

  #serveRpc(serve: ServeRpc, member: Member, maxConcurrentStreams: number): RpcTransport {
    const { logger } = this.#options;
    const { electionMs, maxRequestBytes } = this.#config.member;
    const { hasLeader, isLearner } = memberHealth(member);
    const monitor = new LeaderMonitor({ clock: this.#clock, electionMs, hasLeader });
    monitor.start();
    this.#watches.push(() => monitor.stop());
    const methods = instrument(memberServices(member), {
      meter: this.#meter,
      guards: [learnerGuard(isLearner), clientVersionGuard(this.#meter), monitor.guard],
      keepers: [monitor],
      ...(this.#config.hasCallTimes ? { handlingClock: this.#clock } : {}),
    });
    const bytes = (name: string, help: string) => this.#meter.counter({ name, help });
    return serve(methods, {
      ...serveDefaults,
      clock: this.#clock,
      logger,
      receiveBytesMax: maxRequestBytes + requestOverheadBytes,
      maxConcurrentStreams,
      keepalive: this.#config.keepalive,
      lingers: () => member.isAlone,
      bytesReceived: bytes(
        'etcd_network_client_grpc_received_bytes_total',
        'The total number of bytes received from grpc clients.',
      ),
      bytesSent: bytes('etcd_network_client_grpc_sent_bytes_total', 'The total number of bytes sent to grpc clients.'),
    });
  }

  #observe(member: Member): void {
    const { logger } = this.#options;
    const { electionMs, maxRequestBytes } = this.#config.member;
    observeFileDescriptors(this.#meter);
    observeIdentity(this.#meter, member);
    const unwatch = watchEventLoop(this.#clock, this.#meter, (delayMs) => {
      if (delayMs > electionMs / 2) logger.warn('the event loop was blocked', { delayMs: Math.round(delayMs) });
    });
    this.#watches.push(unwatch);
    if (maxRequestBytes > recommendedRequestBytes) {
      logger.warn('exceeded recommended request limit', { maxRequestBytes, recommendedRequestBytes });
    }
  }
}

/** The gauges whose value is 1 and whose labels say what there is to say. */
function observeIdentity(meter: Meter, member: Member): void {
  const facts = {
    etcd_server_version: ['Which version is running.', { server_version: etcdVersion }],
    etcd_server_id: ['Server or member ID in hexadecimal format.', { server_id: formatId(member.identity.memberId) }],
  } as const;
  for (const [name, [help, labels]] of Object.entries(facts)) meter.gauge({ name, help, labels }).set(1);
}
