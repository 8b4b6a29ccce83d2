/** `downgrade`: takes the version of the cluster one minor version down, asks whether that may be, and takes it back. */
import type { CallOptions, Maintenance } from '@quorate/client';
import type { DowngradeResponse } from '@quorate/proto';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import type { Terminal } from '../io.ts';
import { withSession } from '../session.ts';
import { toText } from '../text/bytes.ts';
import { groupCommand, leafCommand } from './context.ts';

export function downgradeCommand(terminal: Terminal): Command {
  return groupCommand('downgrade', 'Downgrade related commands', [
    actionCommand(terminal, {
      name: 'validate',
      summary: 'Validates that the cluster can be downgraded, before starting it',
      needsTarget: true,
      ask: (maintenance, target, call) => maintenance.downgradeValidate(target, call),
    }),
    actionCommand(terminal, {
      name: 'enable',
      summary: 'Starts a downgrade of the cluster',
      needsTarget: true,
      ask: (maintenance, target, call) => maintenance.downgradeEnable(target, call),
    }),
    actionCommand(terminal, {
      name: 'cancel',
      summary: 'Cancels the ongoing downgrade of the cluster',
      needsTarget: false,
      ask: (maintenance, _target, call) => maintenance.downgradeCancel(call),
    }),
  ]);
}

interface Action {
  readonly name: string;
  readonly summary: string;
  readonly needsTarget: boolean;
  readonly ask: (maintenance: Maintenance, target: string, call: CallOptions) => Promise<DowngradeResponse>;
}

function actionCommand(terminal: Terminal, { name, summary, needsTarget, ask }: Action): Command {
  return leafCommand(terminal, {
    name,
    usage: needsTarget ? '<TARGET_VERSION>' : '',
    summary,
    run: async ({ args, command }) => {
      const [target = '', ...more] = args;
      if (needsTarget) {
        if (args.length === 0) throw new ExitError(Exit.badArgs, 'TARGET_VERSION not provided');
        if (more.length > 0) throw new ExitError(Exit.badArgs, 'too many arguments');
        if (target === '') throw new ExitError(Exit.badArgs, 'target version not provided');
      }
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('downgrade');
        show(await ask(client.maintenance, toText(target), call), { action: name });
      });
    },
  });
}
