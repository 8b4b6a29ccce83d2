/** `elect`: takes part in an election until it is interrupted, or watches one. */
import { Election } from '@quorate/client';
import { RangeResponse } from '@quorate/proto';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag } from '../flags.ts';
import { hold, untilStopped } from '../hold.ts';
import type { Terminal } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { type ByteString, toBytes } from '../text/bytes.ts';
import { leafCommand } from './context.ts';

/** What etcdctl's elections have; there is no flag. */
const ttl = 60;

export function electCommand(terminal: Terminal): Command {
  return leafCommand<{ listen: boolean }>(terminal, {
    name: 'elect',
    usage: '<election-name> [proposal]',
    summary: 'Observes and participates in leader election',
    flags: (command) => booleanFlag(command, { name: 'listen', short: 'l', help: 'only show who is elected' }),
    more: `With a proposal: prints key and proposal once elected, and resigns at SIGINT or SIGTERM. With --listen: prints key and
proposal of the leader, and again whenever they change.
`,
    run: async ({ args, flags, command }) => {
      const [name, proposal] = args;
      if (name === undefined || args.length > 2) {
        throw badArgs('elect takes one election name argument and an optional proposal argument');
      }
      if (proposal === undefined && !flags.listen) throw badArgs('no proposal argument but -l not set');
      if (proposal !== undefined && flags.listen) throw badArgs('proposal given but -l is set');
      await withSession({ terminal, command }, (session) =>
        proposal === undefined ? observe(session, name) : campaign(session, name, proposal),
      );
    },
  });
}

async function campaign(session: Session, name: ByteString, proposal: ByteString): Promise<void> {
  const { client, call, format } = session;
  const show = format.show('get');
  const expired = 'elect: session expired';
  await hold(session, { ttl, lost: expired }, async (holding) => {
    const election = new Election(holding.lease, toBytes(name));
    await election.campaign(toBytes(proposal), { signal: holding.stop });
    show(await client.kv.get(election.place!.key, {}, call), { valueOnly: false });
    await untilStopped(holding, expired);
    await election.resign(call);
  });
}

/** Needs no lease to look on; the election is given one because it is made of a session. */
async function observe(session: Session, name: ByteString): Promise<void> {
  const show = session.format.show('get');
  await hold(session, { ttl, lost: 'elect: observer lost' }, async ({ lease, stop }) => {
    const election = new Election(lease, toBytes(name));
    try {
      for await (const { kv, header } of election.observe({ signal: stop })) {
        show(RangeResponse.create({ header, kvs: [kv] }), { valueOnly: false });
      }
    } catch (error) {
      if (!stop.aborted) throw error;
    }
  });
}

function badArgs(message: string): ExitError {
  return new ExitError(Exit.badArgs, message);
}
