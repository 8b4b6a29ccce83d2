/** `move-leader`: asks the leader, found among the endpoints, to hand leadership to another voter. */
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import type { Terminal } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { fromText } from '../text/bytes.ts';
import { parseUint64 } from '../text/numbers.ts';
import { leafCommand } from './context.ts';

export function moveLeaderCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'move-leader',
    usage: '<transferee-member-id>',
    summary: 'Transfers leadership to another etcd cluster member.',
    run: async ({ args, command }) => {
      const [text, ...more] = args;
      if (text === undefined || more.length > 0) {
        throw new ExitError(Exit.badArgs, 'move-leader command needs 1 argument');
      }
      const target = targetOf(text);
      await withSession({ terminal, command }, async (session) => {
        const show = session.format.show('moveLeader');
        const { id, endpoint } = await findLeader(session);
        const response = await session.client.maintenance.moveLeader(target, { ...session.call, endpoint });
        show(response, { from: id, to: target });
      });
    },
  });
}

function targetOf(text: string): bigint {
  try {
    return parseUint64(text, 16);
  } catch (error) {
    throw new ExitError(Exit.badArgs, (error as Error).message);
  }
}

async function findLeader({ client, call }: Session): Promise<{ id: bigint; endpoint: string }> {
  for (const endpoint of client.endpoints) {
    const { header, leader } = await client.maintenance.status(endpoint, call);
    if (header !== undefined && header.memberId === leader) return { id: leader, endpoint };
  }
  const list = client.endpoints.map(fromText).join(' ');
  throw new ExitError(Exit.badArgs, `no leader endpoint given at [${list}]`);
}
