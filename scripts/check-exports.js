/**
 * Checks that what a file of src exports is imported by another file of src, test or bench: else the word `export` says what is
 * not so. A type or a class may be exported for a signature of its own file. The faces of the package export for its users.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = join(root, 'src');

/** Files whose exports are for users, or for a loader that takes them by another name. */
const FACES = new Set(['index.ts', 'replica.ts', 'prometheus.ts', 'opentelemetry.ts', 'nats.ts']);
const COMMANDS = 'cli/commands/'; // src/cli/commands.ts loads them by their names

const DECLARED =
  /^export (?:declare )?(?:async )?(const|let|function\*?|(?:abstract )?class|interface|type|enum) (\w+)/gm;
const LISTED = /^export (?:type )?\{([^}]*)\}(?! from)/gm;
/** `import { a, type b as c } from 'x'`, and the same with `export`. */
const NAMED = /\b(?:import|export)\s+(?:type\s+)?(?:\w+\s*,\s*)?\{([^}]*)\}\s*from\s*'([^']+)'/g;
/** What takes a whole module: `import * as x`, `import('x')`, a worker or a test that loads it. */
const WHOLE = /\bimport\s+\*\s+as\s+(\w+)\s+from\s*'([^']+)'/g;
const DYNAMIC = /(?:const\s+\{([^}]*)\}\s*=\s*\(?await\s+)?\bimport\(\s*'([^']+)'\s*\)/g;

const files = ['src', 'test', 'bench'].flatMap((folder) => filesOf(join(root, folder)));
const used = new Set();
for (const file of files) noteUses(file);

const dead = files
  .filter((file) => file.startsWith(src) && !isFace(relative(src, file)))
  .flatMap((file) => exportsOf(file).map((name) => ({ file, name })))
  .filter(({ file, name }) => !used.has(`${file} ${name}`) && !used.has(`${file} *`));
for (const { file, name } of dead) console.log(`${relative(root, file)}: nobody imports ${name}`);
if (dead.length > 0) process.exitCode = 1;
else console.log('src: whatever is exported is imported somewhere');

function isFace(file) {
  return FACES.has(file) || file.startsWith(COMMANDS);
}

function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/** But for types and classes that the file itself uses. */
function exportsOf(file) {
  const text = readFileSync(file, 'utf8');
  const isOfSignature = (kind, name) =>
    /^(interface|type|.*class)$/.test(kind) &&
    (text.match(new RegExp(`\\b${name}\\b`, 'g')) ?? []).length > 1;
  const listed = [...text.matchAll(LISTED)].flatMap(([, list]) => namesOf(list).map(({ as }) => as));
  const declared = [...text.matchAll(DECLARED)]
    .filter(([, kind, name]) => !isOfSignature(kind, name))
    .map(([, , name]) => name);
  return [...declared, ...listed];
}

function noteUses(file) {
  const text = readFileSync(file, 'utf8');
  const note = (specifier, name) => {
    const target = resolve(file, specifier);
    if (target !== undefined && target !== file) used.add(`${target} ${name}`);
  };
  for (const [, list, specifier] of text.matchAll(NAMED))
    for (const { name } of namesOf(list)) note(specifier, name);
  for (const [, space, specifier] of text.matchAll(WHOLE))
    for (const [, name] of text.matchAll(new RegExp(`\\b${space}\\.(\\w+)`, 'g'))) note(specifier, name);
  for (const [, list, specifier] of text.matchAll(DYNAMIC))
    for (const { name } of list === undefined ? [{ name: '*' }] : namesOf(list)) note(specifier, name);
}

/** `a, type b as c` */
function namesOf(list) {
  return list
    .split(',')
    .map((item) => item.trim().replace(/^type\s+/, ''))
    .filter((item) => item !== '')
    .map((item) => {
      const [name, as = name] = item.split(/\s+as\s+|\s*:\s*/);
      return { name, as };
    });
}

/** The file of src that is meant; undefined for a package. */
function resolve(file, specifier) {
  if (specifier.startsWith('#src/'))
    return join(src, specifier.slice('#src/'.length)).replace(/\.js$/, '.ts');
  if (!specifier.startsWith('.')) return undefined;
  return join(dirname(file), specifier)
    .replace(/\.js$/, '.ts')
    .replace(/\.cjs$/, '.cts');
}
