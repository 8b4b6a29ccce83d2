/** `endpoint health`, `endpoint status` and `endpoint hashkv`: each asks every endpoint by itself. */
import { errorText } from '@quorate/client';
import { KvError } from '@quorate/proto';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, numberFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { alarmName } from '../print/alarm-name.ts';
import type { EndpointHealth } from '../print/reports.ts';
import { explain, type Session, withSession } from '../session.ts';
import { type ByteString, fromText } from '../text/bytes.ts';
import { groupCommand, leafCommand } from './context.ts';

export function endpointCommand(terminal: Terminal): Command {
  const group = groupCommand('endpoint', 'Endpoint related commands', [
    healthCommand(terminal),
    statusCommand(terminal),
    hashKvCommand(terminal),
  ]);
  booleanFlag(group, { name: 'cluster', help: 'use the endpoints from the member list' });
  return group;
}

function healthCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'health',
    usage: '',
    summary: 'Checks the health of the endpoints given with --endpoints',
    more: 'An endpoint is healthy when it answers a linearizable read and no member has raised an alarm.\n',
    run: ({ command }) =>
      withSession({ terminal, command }, async (session) => {
        const show = session.format.show('endpointHealth');
        const endpoints = await endpointsOf(session, command);
        const list = await Promise.all(endpoints.map((endpoint) => checkHealth(session, endpoint)));
        show(list);
        if (list.some((item) => !item.healthy)) throw new ExitError(Exit.error, 'unhealthy cluster');
      }),
  });
}

function statusCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'status',
    usage: '',
    summary: 'Prints the status of the endpoints given with --endpoints',
    more: `With -w simple the columns are: endpoint, ID, version, storage version, db size, in use, percentage not in use,
quota, is leader, is learner, raft term, raft index, raft applied index, errors, downgrade target version,
downgrade enabled.
`,
    run: ({ command }) =>
      withSession({ terminal, command }, async (session) => {
        const show = session.format.show('endpointStatus');
        const answers = await askEach(session, command, 'status', async (endpoint) => ({
          endpoint,
          status: await session.client.maintenance.status(endpoint, session.call),
        }));
        show(answers.list);
        if (answers.lastError !== undefined) throw new ExitError(Exit.error, '');
      }),
  });
}

function hashKvCommand(terminal: Terminal): Command {
  return leafCommand<{ rev: number }>(terminal, {
    name: 'hashkv',
    usage: '',
    summary: 'Prints the hash of all keys and revisions of each endpoint',
    flags: (command) => numberFlag(command, { name: 'rev', argument: 'revision', help: 'highest revision (0: all)' }),
    run: ({ command, flags }) =>
      withSession({ terminal, command }, async (session) => {
        const show = session.format.show('endpointHashKv');
        const answers = await askEach(session, command, 'hash', async (endpoint) => ({
          endpoint,
          hash: await session.client.maintenance.hashKv(endpoint, flags.rev, session.call),
        }));
        show(answers.list);
        if (answers.lastError !== undefined) throw answers.lastError;
      }),
  });
}

/** Asks one endpoint after the other; those that fail are named on stderr and left out. */
async function askEach<T>(
  session: Session,
  command: Command,
  what: string,
  ask: (endpoint: string) => Promise<T>,
): Promise<{ list: T[]; lastError: unknown }> {
  const list: T[] = [];
  let lastError: unknown;
  for (const endpoint of await endpointsOf(session, command)) {
    try {
      list.push(await ask(endpoint));
    } catch (error) {
      lastError = error;
      explain(session.terminal, error);
      const reason = fromText(errorText(error));
      session.terminal.err(`Failed to get the ${what} of endpoint ${fromText(endpoint)} (${reason})\n`);
    }
  }
  return { list, lastError };
}

/** Those given, or with `--cluster` those of the member list. Throws ExitError when that cannot be had. */
export async function endpointsOf({ client, call }: Session, command: Command): Promise<readonly string[]> {
  const { cluster } = command.optsWithGlobals<{ cluster: boolean }>();
  if (!cluster) return client.endpoints;
  try {
    const { members } = await client.cluster.memberList({}, call);
    return members.flatMap((member) => member.clientURLs);
  } catch (error) {
    const reason = fromText(errorText(error));
    throw new ExitError(Exit.error, `failed to fetch endpoints from etcd cluster member list: ${reason}`);
  }
}

/** A linearizable read proves that the member has a leader with a quorum; refused permission proves it as well. */
async function checkHealth({ client, call, terminal }: Session, endpoint: string): Promise<EndpointHealth> {
  const { clock } = terminal.io;
  const startMs = clock.nowMs();
  const result = (tookMs: number, error: ByteString): EndpointHealth => ({
    endpoint,
    healthy: error === '',
    tookMs,
    error,
  });
  try {
    await client.kv.get('health', {}, { ...call, endpoint });
  } catch (error) {
    const isDenied = error instanceof KvError && error.code === 'permissionDenied';
    if (!isDenied) {
      explain(terminal, error);
      return result(clock.nowMs() - startMs, fromText(errorText(error)));
    }
  }
  const tookMs = clock.nowMs() - startMs;
  try {
    const { alarms } = await client.maintenance.alarmList({ ...call, endpoint });
    const names = alarms.map(({ alarm }) => `${alarmName(alarm)} `).join('');
    return result(tookMs, names === '' ? '' : `Active Alarm(s): ${names}`);
  } catch {
    return result(tookMs, 'Unable to fetch the alarm list');
  }
}
