/** `member`: who is in the cluster, and changes of that (member-changes.ts). */
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { stringFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { withSession } from '../session.ts';
import type { ByteString } from '../text/bytes.ts';
import { quote } from '../text/quote.ts';
import { groupCommand, leafCommand } from './context.ts';
import { addCommand, promoteCommand, removeCommand, updateCommand } from './member-changes.ts';

export function memberCommand(terminal: Terminal): Command {
  return groupCommand('member', 'Membership related commands', [
    addCommand(terminal),
    listCommand(terminal),
    promoteCommand(terminal),
    removeCommand(terminal),
    updateCommand(terminal),
  ]);
}

function listCommand(terminal: Terminal): Command {
  return leafCommand<{ consistency: ByteString }>(terminal, {
    name: 'list',
    usage: '',
    summary: 'Lists all members in the cluster',
    flags: (command) =>
      stringFlag(command, {
        name: 'consistency',
        argument: 'l|s',
        value: 'l',
        help: 'linearizable (l) or serializable (s)',
      }),
    more: 'With -w simple the columns are: ID, status, name, peer addresses, client addresses, is learner.\n',
    run: async ({ flags, command }) => {
      if (flags.consistency !== 'l' && flags.consistency !== 's') {
        throw new ExitError(Exit.badFeature, `unknown consistency flag ${quote(flags.consistency)}`);
      }
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('memberList');
        show(await client.cluster.memberList({ linearizable: flags.consistency === 'l' }, call));
      });
    },
  });
}
