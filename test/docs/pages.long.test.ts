/** Every program of the README and of docs/, run from the page in an empty folder, prints what the page says. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/helpers.js';
import { isMissing, NatsServer } from '../support/nats.js';
import { type Program, patternOf, programsOf } from '../support/page.js';
import { Folder } from '../support/processes.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const docs = join(root, 'docs');
const pages = [
  join(root, 'README.md'),
  ...readdirSync(docs)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(docs, name)),
];

const stripsTypes = (process.features as { typescript?: unknown }).typescript === 'strip';

for (const page of pages) {
  for (const program of programsOf(page)) {
    const isForThisNode = stripsTypes || !program.command.some((argument) => argument.endsWith('.mts'));
    const isPossible = isForThisNode && !(isMissing && needsNats(program));
    const define = isPossible ? test : test.skip;
    define(`${basename(page)}:${program.line}: ${program.command.join(' ')}`, () => runs(program));
  }
}

/** The packages that a reader would install besides: those that this project is developed with. */
function importedBy(texts: Iterable<string>): Set<string> {
  const imports = [...texts].flatMap((text) =>
    [...text.matchAll(/ from '([^'.:][^':]*)'/g)].map(([, name]) => name),
  );
  // Of a scope all: its packages need each other.
  const names = imports.map((name) => /^[^/]+/.exec(name as string)?.[0] as string);
  return new Set(
    names.filter((name) => name !== 'ballermann' && existsSync(join(root, 'node_modules', name))),
  );
}

function needsNats({ files }: Program): boolean {
  return importedBy(files.values()).has('@nats-io');
}

async function runs(shown: Program): Promise<void> {
  const { files, command, prints } = shown;
  await using server = needsNats(shown) ? await NatsServer.start() : undefined;
  using folder = new Folder();
  // As `npm init -y` and `npm install ballermann` leave it.
  writeFileSync(folder.at('package.json'), '{ "name": "app", "version": "1.0.0" }');
  mkdirSync(folder.at('node_modules'));
  symlinkSync(root, folder.at('node_modules/ballermann'));
  for (const name of importedBy(files.values()))
    symlinkSync(join(root, 'node_modules', name), folder.at(`node_modules/${name}`));
  for (const [name, text] of files) {
    mkdirSync(dirname(folder.at(name)), { recursive: true });
    writeFileSync(folder.at(name), text);
  }
  const [program, ...args] = command as [string, ...string[]];
  assert.is(program, 'node');
  const child = spawn(process.execPath, args, {
    cwd: folder.path,
    env: { ...process.env, ...(server && { NATS_URL: server.url }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  const closed = once(child, 'close');
  try {
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
    const missing = (): string | undefined => prints.find((line) => !patternOf(line).test(said));
    await until(
      () => missing() === undefined || isOver(),
      () => `'${missing()}' from: ${said}`,
      30_000,
    );
    if (!isOver()) child.kill('SIGINT');
    const [code, signal] = await closed;
    assert.ok(code === 0 || signal === 'SIGINT', `${signal ?? code}: ${said}`);
    assert.is(missing(), undefined, said);
  } finally {
    if (child.exitCode === null) child.kill('SIGKILL');
  }
}

test.run();
