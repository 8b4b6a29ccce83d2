/** What member 1 of a test sees of leadership. */
import { type Clock, type Logger, type MemberId, silentLogger, silentMeter } from '@quorate/base';
import { Leadership } from '../leadership.ts';

export function leadershipOfFirst(
  clock: Clock,
  connectedSinceMs: (peer: MemberId) => number | undefined,
  logger: Logger = silentLogger,
): Leadership {
  return new Leadership({ memberId: 1n, clock, logger, meter: silentMeter, electionMs: 1_000, connectedSinceMs });
}
