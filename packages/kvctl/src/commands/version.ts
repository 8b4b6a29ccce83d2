/** `version`. */
import type { Command } from 'commander';
import type { Terminal } from '../io.ts';
import { leafCommand } from './context.ts';

/** The version of etcd's API whose behaviour kvctl follows. */
const apiVersion = '3.6';

export function versionCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'version',
    usage: '',
    summary: 'Prints the version of kvctl',
    run: () => terminal.out(`kvctl version: ${terminal.io.version}\nAPI version: ${apiVersion}\n`),
  });
}
