/**
 * Checks that the table of options in docs/cli.md is what the list of options says. `--write` writes it.
 *
 *   node scripts/check-cli-docs.js [--write]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onlyInFiles, optionFlags, options, variableOf, withoutFlag } from '#src/cli/options-list.js';

const page = fileURLToPath(new URL('../docs/cli.md', import.meta.url));
const [begin, end] = [
  '<!-- options: written by scripts/check-cli-docs.js --write -->\n',
  '<!-- /options -->\n',
];

const text = readFileSync(page, 'utf8');
const start = text.indexOf(begin) + begin.length;
const stop = text.indexOf(end);
if (start < begin.length || stop < start)
  throw new Error('docs/cli.md has lost the marks around its table of options');
const wanted = table();
if (text.slice(start, stop) === wanted) console.log(`docs/cli.md: ${options.length} options, as in the list`);
else if (process.argv.includes('--write'))
  writeFileSync(page, text.slice(0, start) + wanted + text.slice(stop));
else {
  console.log(
    'docs/cli.md: the table of options is not that of the list: node scripts/check-cli-docs.js --write',
  );
  process.exitCode = 1;
}

function table() {
  const groups = new Map();
  for (const option of options) groups.set(option.group, [...(groups.get(option.group) ?? []), option]);
  const parts = [...groups].map(([group, list]) => {
    const head = `### ${group}\n\n| flag | variable | in a file | what it does | default |\n| --- | --- | --- | --- | --- |\n`;
    return head + list.map(row).join('');
  });
  const without = Object.entries(withoutFlag).map(([name, why]) => `- \`${name}\` ${why}.\n`);
  const functions = Object.entries(onlyInFiles).map(([name, what]) => `- \`${name}\` may also be ${what}.\n`);
  return (
    `\n${parts.join('\n')}\n### What is no flag\n\nOf the options of \`supervise\` and \`balance\`,\n\n${without.join('')}\n` +
    `Only in a configuration file,\n\n${functions.join('')}\n`
  );
}

function row(option) {
  const { type, value, allowed, short, isOnByDefault } = optionFlags[option.name];
  const long = `--${isOnByDefault ? 'no-' : ''}${option.name}`;
  const shown = type === 'boolean' ? long : `${long} ${value ?? allowed.join('|')}`;
  const names = short === undefined ? code(shown) : `${code(`-${short}`)}, ${code(shown)}`;
  const key = option.field === undefined ? option.sets : `${option.sets}.${option.field}`;
  const inFile = option.name === 'config' ? '' : code(key);
  const cells = [names, code(variableOf(option)), inFile, option.help, option.default];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
}

function code(words) {
  return `\`${words}\``;
}
