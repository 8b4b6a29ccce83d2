/** TLS as the ports are to have it: what was configured, with a certificate made now where none was given but one is wanted. */
import { join } from 'node:path';
import type { Clock, Logger } from '@quorate/base';
import { type SelfSignedOptions, selfSignedFiles, type TlsSettings } from '@quorate/tls';
import type { DaemonConfig } from './config.ts';
import type { EndSettings } from './tls-config.ts';

/** For client and metrics ports. Warns of settings that have no effect. Throws TlsError. */
export function endSettings(
  config: DaemonConfig,
  dataDir: string,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): TlsSettings {
  const { clientTls: tls, listenClientUrls, selfSignedYears } = config;
  for (const { scheme, text } of listenClientUrls) {
    if (scheme === 'https') continue;
    if (tls.certFile !== '')
      logger.warn('scheme is http while certificates are given; they are not used', { url: text });
    if (tls.clientCertAuth) logger.warn('scheme is http; clients need no certificate here', { url: text });
  }
  return made(tls, join(dataDir, 'fixtures', 'client'), {
    hosts: listenClientUrls.filter(({ scheme }) => scheme === 'https').map(({ host }) => host),
    years: selfSignedYears,
    wallMs: clock.wallMs(),
    logger,
  });
}

/** For members' ports; undefined when there are no certificates. Throws TlsError. */
export function peerEndSettings(
  { peerTls: tls, listenPeerUrls, selfSignedYears: years }: DaemonConfig,
  dataDir: string,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): TlsSettings | undefined {
  if (!tls.isAuto && tls.certFile === '') return undefined;
  const hosts = listenPeerUrls.map(({ host }) => host);
  return made(tls, join(dataDir, 'fixtures', 'peer'), { hosts, years, wallMs: clock.wallMs(), logger });
}

function made(tls: EndSettings, directory: string, how: Omit<SelfSignedOptions, 'directory'>): TlsSettings {
  return tls.isAuto ? { ...tls, ...selfSignedFiles({ directory, ...how }), isSelfSigned: true } : tls;
}
