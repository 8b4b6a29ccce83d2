/** `alarm list` and `alarm disarm`. */
import { AlarmResponse } from '@quorate/proto';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import type { Terminal } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { groupCommand, leafCommand } from './context.ts';

export function alarmCommand(terminal: Terminal): Command {
  const command = (name: string, summary: string, ask: (session: Session) => Promise<AlarmResponse>): Command =>
    leafCommand(terminal, {
      name,
      usage: '',
      summary,
      run: async ({ args, command: self }) => {
        if (args.length > 0) throw new ExitError(Exit.badArgs, `alarm ${name} command accepts no arguments`);
        await withSession({ terminal, command: self }, async (session) => {
          const show = session.format.show('alarm');
          show(await ask(session));
        });
      },
    });
  return groupCommand('alarm', 'Alarm related commands', [
    command('disarm', 'Disarms all alarms', async ({ client, call }) =>
      // As etcdctl: what was lifted, gathered over several calls and so without a header.
      AlarmResponse.create({ alarms: await client.maintenance.alarmDisarmAll(call) }),
    ),
    command('list', 'Lists all alarms', ({ client, call }) => client.maintenance.alarmList(call)),
  ]);
}
