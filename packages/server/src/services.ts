/** The services of a member as a table of methods, for any transport. What a member cannot do yet answers UNIMPLEMENTED. */
import {
  HashKVResponse,
  HashResponse,
  HealthCheckResponse,
  HealthCheckResponseServingStatus,
  KvError,
  services,
} from '@quorate/proto';
import { type Reply, type ServiceMethod, serviceHandlers } from '@quorate/rpc';
import type { Member } from './member.ts';
import { answerRecipe } from './recipe-error.ts';

/** Every method `member` serves. */
export function memberServices(member: Member): ServiceMethod[] {
  return [
    ...serviceHandlers(services.kv, {
      range: (request, _call, reply) => member.kv.range(request, reply),
      rangeStream: (request, call, stream) => member.kv.rangeStream(request, call, stream),
      put: (request, _call, reply) => member.kv.put(request, reply),
      deleteRange: (request, _call, reply) => member.kv.deleteRange(request, reply),
      txn: (request, _call, reply) => member.kv.txn(request, reply),
      compact: (request, _call, reply) => member.kv.compact(request, reply),
    }),
    ...serviceHandlers(services.lease, {
      leaseGrant: (request, _call, reply) => member.leases.grant(request, reply),
      leaseRevoke: (request, _call, reply) => member.leases.revoke(request, reply),
      leaseKeepAlive: (requests, call, stream) => member.leases.keepAlive(requests, call, stream),
      leaseTimeToLive: (request, _call, reply) => answer(reply, () => member.leases.timeToLive(request)),
      leaseLeases: (_request, _call, reply) => answer(reply, async () => member.leases.leases()),
    }),
    ...serviceHandlers(services.watch, { watch: member.watch.watch }),
    ...serviceHandlers(services.cluster, {
      memberList: (request, _call, reply) => member.cluster.memberList(request, reply),
      memberAdd: (request, _call, reply) => answer(reply, () => member.cluster.memberAdd(request)),
      memberRemove: (request, _call, reply) => answer(reply, () => member.cluster.memberRemove(request)),
      memberUpdate: (request, _call, reply) => answer(reply, () => member.cluster.memberUpdate(request)),
      memberPromote: (request, _call, reply) => answer(reply, () => member.cluster.memberPromote(request)),
    }),
    ...serviceHandlers(services.maintenance, {
      status: (_request, _call, reply) => answer(reply, () => Promise.resolve(member.maintenance.status())),
      alarm: (request, _call, reply) => member.maintenance.alarm(request, reply),
      moveLeader: (request, _call, reply) => answer(reply, () => member.maintenance.moveLeader(request)),
      downgrade: (request, _call, reply) => answer(reply, () => member.downgrades.downgrade(request)),
      defragment: (_request, _call, reply) => answer(reply, () => member.maintenance.defragment()),
      hash: (_request, _call, reply) => answer(reply, () => hash(member)),
      snapshot: (_request, call, stream) => void member.maintenance.snapshot(call, stream),
      hashKV: (request, _call, reply) => answer(reply, () => hashKv(member, request.revision)),
    }),
    ...serviceHandlers(services.lock, {
      lock: (request, call, reply) => answerRecipe(reply, member.locks.lock(request, call)),
      unlock: (request, _call, reply) => answerRecipe(reply, member.locks.unlock(request)),
    }),
    ...serviceHandlers(services.election, {
      campaign: (request, call, reply) => answerRecipe(reply, member.elections.campaign(request, call)),
      proclaim: (request, _call, reply) => answerRecipe(reply, member.elections.proclaim(request)),
      leader: (request, _call, reply) => answerRecipe(reply, member.elections.leader(request)),
      observe: (request, call, stream) => member.elections.observe(request, call, stream),
      resign: (request, _call, reply) => answerRecipe(reply, member.elections.resign(request)),
    }),
    ...healthMethods(),
  ];
}

async function hash(member: Member): Promise<HashResponse> {
  const header = member.headers.header(member.state.store.currentRevision);
  return HashResponse.create({ header, hash: await member.hash() });
}

async function hashKv(member: Member, revision: number): Promise<HashKVResponse> {
  const { store } = member.state;
  const { hash, compactRevision, hashRevision } = await store.hashKv(revision);
  const header = member.headers.header(store.currentRevision);
  return HashKVResponse.create({ header, hash, compactRevision, hashRevision });
}

/** The whole server is one service named ""; others are unknown, as etcd registers it. */
function healthMethods(): ServiceMethod[] {
  const { SERVING, SERVICE_UNKNOWN } = HealthCheckResponseServingStatus;
  return serviceHandlers(services.health, {
    check: (request, _call, reply) => {
      if (request.service === '') reply.ok(HealthCheckResponse.create({ status: SERVING }));
      else reply.fail(new KvError('unknownHealthService'));
    },
    // Stays open: a client that watches is told of changes, and there are none while the process lives.
    watch: (request, _call, stream) => {
      stream.send(HealthCheckResponse.create({ status: request.service === '' ? SERVING : SERVICE_UNKNOWN }));
    },
  });
}

function answer<Res>(reply: Reply<Res>, make: () => Promise<Res>): void {
  Promise.resolve()
    .then(make)
    .then(
      (response) => reply.ok(response),
      (error: unknown) => reply.fail(error),
    );
}
