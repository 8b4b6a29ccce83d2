/**
 * Makes a member known to its cluster: its name and client URLs are proposed until they were applied here, the point at which etcd
 * opens its client port. A proposal on its way to a leader that dies is lost, and its time-out is long; as it does no harm to set
 * the same attributes twice, they are proposed again as soon as there is another leader.
 *
 * A member that is far behind refuses its own proposals at once. Between two tries it is left alone to catch up.
 */
import type { ApplyResult } from '@quorate/apply';
import { type Clock, type Logger, noMember } from '@quorate/base';
import { InternalRaftRequest, KvError, type MemberAttributesSet } from '@quorate/proto';
import type { Leadership } from './leadership.ts';

export interface PublishOptions {
  readonly clock: Clock;
  readonly attributes: MemberAttributesSet;
  readonly leadership: Pick<Leadership, 'leader' | 'waitFor'>;
  readonly propose: (request: InternalRaftRequest) => Promise<ApplyResult | KvError>;
  /** How long one proposal may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly stopping: () => boolean;
  readonly logger: Logger;
}

/** Pause after a refusal, in milliseconds. */
const againMs = 100;

/** Resolves when the cluster knows the attributes, or the member stops. */
export async function publish(options: PublishOptions): Promise<void> {
  const { clock, leadership, timeoutMs, stopping, logger } = options;
  let said = '';
  for (;;) {
    await leadership.waitFor((leader) => leader !== noMember, timeoutMs);
    if (stopping()) return;
    const outcome = await proposeToLeader(options);
    if (outcome === 'leader changed') continue;
    if (!(outcome instanceof KvError)) return;
    const { message: reason } = outcome;
    if (reason !== said) logger.warn('could not publish the member to the cluster, trying again', { reason });
    said = reason;
    await new Promise<void>((resolve) => clock.after(againMs, resolve));
  }
}

type Outcome = ApplyResult | KvError | 'leader changed';

function proposeToLeader(options: PublishOptions): Promise<Outcome> {
  const { attributes, leadership, propose, timeoutMs } = options;
  const { leader } = leadership;
  const outcome = propose(InternalRaftRequest.create({ memberAttributesSet: attributes }));
  const changed = leadership
    .waitFor((now) => now !== noMember && now !== leader, timeoutMs)
    .then((isOther): Outcome | Promise<Outcome> => (isOther ? 'leader changed' : outcome));
  return Promise.race([outcome, changed]);
}
