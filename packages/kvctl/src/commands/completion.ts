/** `completion bash`: a script with which bash completes commands and flags. Made from the commands themselves, once, when asked. */
import type { Command } from 'commander';
import type { Terminal } from '../io.ts';
import { groupCommand, leafCommand } from './context.ts';

export function completionCommand(terminal: Terminal): Command {
  return groupCommand('completion', 'Generates completion scripts', [
    leafCommand(terminal, {
      name: 'bash',
      usage: '',
      summary: 'Generates the completion script for bash',
      more: 'Example, for this shell and for all that come:\n  source <(kvctl completion bash)\n  kvctl completion bash > /etc/bash_completion.d/kvctl\n',
      run: ({ command }) => terminal.out(bashScript(rootOf(command))),
    }),
  ]);
}

/** One place in the tree of commands. */
interface Place {
  /** Names of the commands down to here; empty at the root. */
  readonly path: string;
  /** What may come next: commands and flags. */
  readonly words: readonly string[];
}

function bashScript(root: Command): string {
  const places = placesOf(root, '', []);
  const steps = places.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`);
  const cases = places.map(({ path, words }) => `    "${path}") words="${words.join(' ')}" ;;\n`);
  return `# bash completion for ${root.name()}
_${root.name()}() {
  local word path= words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${path:+$path }\${COMP_WORDS[i]}"
    case "$word" in
    ${steps.join(' | ')}) path=$word ;;
    esac
  done
  case "$path" in
${cases.join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${root.name()} ${root.name()}
`;
}

/** This command and those below it. `above` are the flags of its parents. */
function placesOf(command: Command, path: string, above: readonly string[]): Place[] {
  const own = command.options.filter(({ negate, hidden }) => !negate && !hidden).map(({ long }) => long!);
  const flags = [...own, ...above];
  const names = command.commands.map((child) => child.name());
  const below = command.commands.flatMap((child) =>
    placesOf(child, path === '' ? child.name() : `${path} ${child.name()}`, flags),
  );
  return [{ path, words: [...names, ...flags, '--help'] }, ...below];
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}
