/**
 * Headers of native/ by examples, exactly: whose turn it is to accept a connection (listener.hpp, with a clock of its own),
 * what a stream makes of any word (stream.hpp), and when a thread lingers (lingering.hpp); and weakened variants of them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mutants as gateMutants } from '../../test/native/gate-mutants.js';
import { mutants as lingeringMutants } from '../../test/native/lingering-mutants.js';
import { mutants as streamMutants } from '../../test/native/stream-mutants.js';
import { catchEach } from './mutants.js';
import { attempt, run } from './process.js';

export const packages = ['g++'];

const gate = { name: 'gate', header: 'listener.hpp', mutants: gateMutants };
const lingering = { name: 'lingering', header: 'lingering.hpp', mutants: lingeringMutants };
const stream = { name: 'stream', header: 'stream.hpp', mutants: streamMutants };

export const checkGate = (context) => check(context, gate);
export const checkGateMutants = (context) => checkMutants(context, gate);
export const checkLingering = (context) => check(context, lingering);
export const checkLingeringMutants = (context) => checkMutants(context, lingering);
export const checkStream = (context) => check(context, stream);
export const checkStreamMutants = (context) => checkMutants(context, stream);

async function check(context, { name }) {
  const directory = join(context.out, name);
  return (await run(await compile(context, name, directory, context.root), [])).trim();
}

async function checkMutants(context, { name: subject, header, mutants }) {
  const { root, out } = context;
  const text = readFileSync(join(root, 'native', header), 'utf8');
  return catchEach(mutants, async ({ name, find, replace }) => {
    const parts = text.split(find);
    if (parts.length !== 2)
      throw new Error(`${name}: found ${parts.length - 1} times, expected once: ${find}`);
    const directory = join(out, `${subject}-${name}`);
    mkdirSync(join(directory, 'native'), { recursive: true });
    writeFileSync(join(directory, 'native', header), parts.join(replace));
    const program = await compile(context, subject, directory, directory);
    const { output, code, signal } = await attempt(program, [], { seconds: 60 });
    if (code === 0) return undefined;
    return code === 1 && signal === null ? output.trim().split('\n')[0] : `ended with ${signal ?? code}`;
  });
}

/** @param from holds the header in its native/; all else is of the root. */
async function compile({ root }, name, directory, from) {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, name);
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const include = [join(from, 'native'), join(root, 'native')].flatMap((path) => ['-I', path]);
  const source = join(root, 'test', 'native', `${name}.cc`);
  // A variant leaves some names unused.
  const flags = ['-std=c++20', '-g', '-Wall', '-Wextra', ...(from === root ? ['-Werror'] : ['-w'])];
  await run('g++', [...flags, ...sanitizers, ...include, source, '-o', program]);
  return program;
}
