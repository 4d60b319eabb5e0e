/** Whose turn it is to accept a connection: native/listener.hpp with a clock of its own, and weakened variants of it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mutants } from '../../test/native/gate-mutants.js';
import { catchEach } from './mutants.js';
import { attempt, run } from './process.js';

export const packages = ['g++'];

export async function checkGate(context) {
  const directory = join(context.out, 'gate');
  return (await run(await compile(context, directory, context.root), [])).trim();
}

export async function checkGateMutants(context) {
  const { root, out } = context;
  const text = readFileSync(join(root, 'native', 'listener.hpp'), 'utf8');
  return catchEach(mutants, async ({ name, find, replace }) => {
    const parts = text.split(find);
    if (parts.length !== 2)
      throw new Error(`${name}: found ${parts.length - 1} times, expected once: ${find}`);
    const directory = join(out, `gate-${name}`);
    mkdirSync(join(directory, 'native'), { recursive: true });
    writeFileSync(join(directory, 'native', 'listener.hpp'), parts.join(replace));
    const program = await compile(context, directory, directory);
    const { output, code, signal } = await attempt(program, [], { seconds: 60 });
    if (code === 0) return undefined;
    return code === 1 && signal === null ? output.trim().split('\n')[0] : `ended with ${signal ?? code}`;
  });
}

/** @param from holds native/listener.hpp; all else is of the root. */
async function compile({ root }, directory, from) {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, 'gate');
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const include = [join(from, 'native'), join(root, 'native')].flatMap((path) => ['-I', path]);
  const source = join(root, 'test', 'native', 'gate.cc');
  // A variant leaves some names unused.
  const flags = ['-std=c++20', '-g', '-Wall', '-Wextra', ...(from === root ? ['-Werror'] : ['-w'])];
  await run('g++', [...flags, ...sanitizers, ...include, source, '-o', program]);
  return program;
}
