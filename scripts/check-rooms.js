/**
 * Checks the house that scripts/lib/rooms.js describes: each file of src stands in a room, imports no room above its own, and
 * is in no circle of imports; and docs/design.md shows the rooms as they are. `--write` brings the page up to date.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { roomOf, rooms } from './lib/rooms.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join('docs', 'design.md');
const [START, END] = ['<!-- rooms: written by scripts/check-rooms.js -->', '<!-- end of rooms -->'];

const imports = readImports();
const problems = [
  ...[...imports.keys()]
    .filter((file) => roomOf(file) === -1)
    .map((file) => `src/${file}: stands in no room of scripts/lib/rooms.js`),
  ...[...imports].flatMap(([file, targets]) => targets.flatMap((target) => upward(file, target))),
  ...circles().map((files) => `a circle of imports: ${files.map((file) => `src/${file}`).join(' → ')}`),
  ...checkPage(),
];
for (const problem of problems) console.log(problem);
if (problems.length > 0) process.exitCode = 1;
else console.log(`src: ${imports.size} files in ${rooms.length} rooms, no import upwards, no circle`);

/** The files of src, each with those that it imports, types included. */
function readImports() {
  const found = new Map();
  for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const file = posix.join(...path.slice(join(root, 'src').length + 1).split(/[\\/]/));
    const specifiers = readFileSync(path, 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g);
    found.set(
      file,
      [...specifiers].map(([, specifier]) => posix.join(dirname(file), specifier.replace(/\.js$/, '.ts'))),
    );
  }
  return found;
}

function upward(file, target) {
  if (!imports.has(target)) return [`src/${file}: imports ${target}, which is not there`];
  const [from, to] = [rooms[roomOf(file)], rooms[roomOf(target)]];
  if (roomOf(target) >= roomOf(file)) return [];
  return [`src/${file} imports src/${target}: ${to?.place} is above ${from?.place}`];
}

/** One circle of each group of files that import one another. */
function circles() {
  const found = [];
  const done = new Set();
  const path = [];
  const visit = (file) => {
    const index = path.indexOf(file);
    if (index !== -1) found.push([...path.slice(index), file]);
    if (index !== -1 || done.has(file)) return;
    path.push(file);
    for (const target of imports.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) visit(file);
  return found;
}

/** The rooms as the page shows them: a picture of who imports whom, then a line each. */
function describe() {
  const edges = new Set();
  for (const [file, targets] of imports) {
    for (const target of targets)
      if (roomOf(file) !== roomOf(target)) edges.add(`${roomOf(file)} ${roomOf(target)}`);
  }
  const ofAll = rooms.findIndex(({ place }) => place === 'options.ts'); // from here on all import them: no arrows
  const arrows = [...edges]
    .map((edge) => edge.split(' ').map(Number))
    .filter(([, to]) => to < ofAll)
    .sort(([a, b], [c, d]) => a - c || b - d);
  return [
    '```mermaid',
    'flowchart TD',
    ...rooms.slice(0, ofAll).map(({ place }, index) => `  r${index}["${place}"]`),
    ...arrows.map(([from, to]) => `  r${from} --> r${to}`),
    '```',
    '',
    '| room of `src/` | owns |',
    '| --- | --- |',
    ...rooms.map(({ place, owns }) => `| \`${place}\` | ${owns} |`),
  ].join('\n');
}

function checkPage() {
  const text = readFileSync(join(root, page), 'utf8');
  const [start, end] = [text.indexOf(START), text.indexOf(END)];
  if (start === -1 || end < start) return [`${page}: lacks the lines '${START}' and '${END}'`];
  const wanted = `${text.slice(0, start)}${START}\n\n${describe()}\n\n${text.slice(end)}`;
  if (text === wanted) return [];
  if (!process.argv.includes('--write'))
    return [`${page}: shows other rooms: node scripts/check-rooms.js --write`];
  writeFileSync(join(root, page), wanted);
  return [];
}
