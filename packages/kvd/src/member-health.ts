/** A member's health as the HTTP endpoints ask for it: reads go the way clients' reads go. */
import { noMember } from '@quorate/base';
import { RangeRequest } from '@quorate/proto';
import { etcdVersion, type Member, storageVersion } from '@quorate/server';
import type { HealthSource } from './http/health-source.ts';

export function memberHealth(member: Member): HealthSource {
  return {
    alarms: () => (member.isServing ? member.state.alarms.list().map(({ alarm }) => alarm) : []),
    hasLeader: () => member.leadership.leader !== noMember,
    isLearner: () => member.isLearner,
    serializableRead: () => readOne(member, true),
    linearizableRead: () => readOne(member, false),
    space: () => ({ ...member.space.report }),
    versions: () => {
      const cluster = member.clusterVersion;
      return { server: etcdVersion, cluster: cluster ?? 'not_decided', storage: cluster ?? storageVersion };
    },
  };
}

/** The name of the first key, if there is one. */
function readOne(member: Member, serializable: boolean): Promise<void> {
  const all = Buffer.from([0]);
  const request = RangeRequest.create({ key: all, rangeEnd: all, limit: 1, keysOnly: true, serializable });
  return new Promise((resolve, reject) => {
    const done = (): void => resolve();
    member.kv.range(request, { ok: done, encoded: done, pieces: done, fail: reject });
  });
}
