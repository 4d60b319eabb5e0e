/**
 * Checks the tables of docs/reliability.md: no cell is empty, and each row names a test that is there (`file.test.ts:
 * name`) or a command of this package (`npm run name`).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const document = join('docs', 'reliability.md');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const testFiles = readdirSync(join(root, 'test'), { recursive: true }).filter((file) =>
  file.endsWith('.test.ts'),
);
const namesOf = new Map(); // by test file

const tables = readTables(readFileSync(join(root, document), 'utf8'));
const rows = tables.flatMap((table) => table.rows);
const problems = [
  ...(tables.length === 0 ? [`${document}: holds no table`] : []),
  ...tables
    .filter((table) => table.rows.length === 0)
    .map((table) => `${document}:${table.line}: '${table.title}' has no row`),
  ...rows.flatMap(({ line, cells }) => problemsOf(cells).map((problem) => `${document}:${line}: ${problem}`)),
];
for (const problem of problems) console.log(problem);
if (problems.length > 0) process.exitCode = 1;
else console.log(`${document}: ${rows.length} failures, each with its test`);

/** The tables of failures, each with the heading above it. A row is a line: its cells are what is between bars. */
function readTables(text) {
  const found = [];
  let title = '';
  let table;
  for (const [index, line] of text.split('\n').entries()) {
    if (!line.startsWith('|')) {
      table = undefined;
      title = /^#+ (.*)$/.exec(line)?.[1] ?? title;
    } else if (table === undefined) {
      table = { title, line: index + 1, rows: [], isOfFailures: /^\| *Failure *\|/.test(line) };
      found.push(table);
    } else if (!/^[|\s:-]+$/.test(line) || line.replace(/[|\s]/g, '') === '') {
      const cells = line.split(/(?<!\\)\|/).slice(1, -1);
      table.rows.push({ line: index + 1, cells: cells.map((cell) => cell.trim().replaceAll('\\|', '|')) });
    }
  }
  return found.filter(({ isOfFailures }) => isOfFailures);
}

function problemsOf(cells) {
  if (cells.length !== 3) return [`has ${cells.length} cells, not 3`];
  if (cells.includes('')) return ['has an empty cell'];
  const named = [...cells[2].matchAll(/`([^`]+)`/g)].map(([, text]) => text);
  const references = named.filter((text) => text.startsWith('npm ') || /\.test\.ts\b/.test(text));
  if (references.length === 0) return ['names neither `file.test.ts: name` nor `npm run name`'];
  return references.filter((text) => !isThere(text)).map((text) => `there is no \`${text}\``);
}

function isThere(reference) {
  const [, script] = /^npm run ([\w:.-]+)(?: |$)/.exec(reference) ?? [];
  if (script !== undefined) return Object.hasOwn(scripts, script);
  const [, file, name] = /^([\w-]+(?:\.(?:slow|long))?\.test\.ts): (.+)$/.exec(reference) ?? [];
  return file !== undefined && testNames(file).some((pattern) => pattern.test(name));
}

/** What the names of a file's tests match: what is put into a template when it runs may be anything. */
function testNames(file) {
  if (!namesOf.has(file)) namesOf.set(file, readNames(testFiles.find((path) => basename(path) === file)));
  return namesOf.get(file);
}

function readNames(file) {
  if (file === undefined) return [];
  const calls = readFileSync(join(root, 'test', file), 'utf8').matchAll(
    /^.*\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1,/gm,
  );
  return [...calls].map(([, quote, text]) => {
    const parts = quote === '`' ? text.split(/\$\{[^}]*\}/) : [text];
    return new RegExp(`^${parts.map(literally).join('.+')}$`);
  });
}

/** The pattern of what a string literal says, as far as test names have need of escapes. */
function literally(text) {
  return text.replace(/\\(.)/g, '$1').replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
