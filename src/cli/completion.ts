/** The completion scripts of bash and zsh, out of the commands and their flags. */

import type { Command, Flag } from './command.js';
import { commands as summaries } from './commands.js';
import { flagNames, HELP } from './parse.js';

/** What else may stand where a command stands. */
const GENERAL = ['help', '--help', '--version'];

export function bashCompletion(commands: readonly Command[]): string {
  const cases = commands.map((command) => {
    const flags = Object.entries({ ...command.flags, help: HELP });
    const names = flags.flatMap(([name, flag]) => flagNames(name, flag)).join(' ');
    const values = flags.flatMap(([name, flag]) => bashValues(name, flag));
    const words =
      command.completes === undefined ? [] : [`[[ $cur != -* ]] && ${bashWords(command.completes)}`];
    return `    ${command.name})
      case $prev in
${values.map((line) => `        ${line}`).join('\n')}
      esac
      [[ $cur == -* ]] && COMPREPLY=($(compgen -W '${names}' -- "$cur"))
${words.map((line) => `      ${line}\n`).join('')}      ;;`;
  });
  return `# bash completion of ballermann. To have it in each shell:
#   ballermann completion bash > ~/.local/share/bash-completion/completions/ballermann
_ballermann() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} i
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${[...commands.map(({ name }) => name), ...GENERAL].join(' ')}' -- "$cur"))
    return
  fi
  for ((i = 2; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -- ]] && { COMPREPLY=($(compgen -f -- "$cur")); return; }
  done
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
    help)
      COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$cur"))
      ;;
  esac
}
complete -o filenames -o bashdefault -F _ballermann ballermann
`;
}

/** What follows a flag with a value. */
function bashValues(name: string, flag: Flag): string[] {
  if (flag.type === 'boolean') return [];
  const names = flagNames(name, flag).join('|');
  if (flag.allowed !== undefined)
    return [`${names}) COMPREPLY=($(compgen -W '${flag.allowed.join(' ')}' -- "$cur")); return ;;`];
  return [`${names}) ${flag.completes === undefined ? '' : `${bashWords(flag.completes)}; `}return ;;`];
}

function bashWords(kind: 'file' | 'folder' | readonly string[]): string {
  if (typeof kind === 'object') return `COMPREPLY=($(compgen -W '${kind.join(' ')}' -- "$cur"))`;
  return `COMPREPLY=($(compgen -${kind === 'file' ? 'f' : 'd'} -- "$cur"))`;
}

export function zshCompletion(commands: readonly Command[]): string {
  const listed = Object.entries(summaries).map(([name, summary]) => `    ${quoted(`${name}:${summary}`)}`);
  const cases = commands.map((command) => {
    const flags = Object.entries({ ...command.flags, help: HELP }).map(([name, flag]) => zshFlag(name, flag));
    // Without one, flags would not be completed after a word.
    const words = `'*:word:${command.completes === undefined ? '()' : zshWords(command.completes)}'`;
    return `    ${command.name})
      _arguments -s \\
        ${[...flags, words].join(' \\\n        ')}
      ;;`;
  });
  return `#compdef ballermann
# zsh completion of ballermann. To have it in each shell, write it to a file _ballermann in a folder of $fpath:
#   ballermann completion zsh > ~/.zsh/completions/_ballermann
_ballermann() {
  local -a commands=(
${listed.join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  if ((\${words[(i)--]} < CURRENT)); then
    _files
    return
  fi
  case $command in
${cases.join('\n')}
    help) _describe command commands ;;
  esac
}
if [[ $funcstack[1] == _ballermann ]]; then _ballermann "$@"; else compdef _ballermann ballermann; fi
`;
}

function zshFlag(name: string, flag: Flag): string {
  const value = flag.type === 'boolean' ? '' : `:${escaped(flag.value ?? 'value')}:${zshValues(flag)}`;
  const again = flag.multiple === true ? '*' : '';
  const specs = flagNames(name, flag).map((flagName) => {
    const joint = flag.type === 'string' && flagName.startsWith('--') ? '=' : '';
    return quoted(`${again}${flagName}${joint}[${escaped(flag.help)}]${value}`);
  });
  return specs.join(' \\\n        ');
}

function zshValues({ allowed, completes }: Flag): string {
  if (allowed !== undefined) return `(${allowed.join(' ')})`;
  return completes === undefined ? '' : zshWords(completes);
}

function zshWords(kind: 'file' | 'folder' | readonly string[]): string {
  if (typeof kind === 'object') return `(${kind.join(' ')})`;
  return kind === 'file' ? '_files' : '_files -/';
}

/** What means something in a spec of _arguments. */
function escaped(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
