/** Points 3 and 5: the ring and a channel under real concurrency, in threads and in processes, with sanitizers. */
import { join } from 'node:path';
import { attempt, run } from './process.js';

export const packages = ['g++'];

const SANITIZERS = {
  none: ['-O2'],
  // TSan knows no fences. find_ring() and open_ring() have some, but only atomics around them.
  thread: ['-O1', '-fsanitize=thread', '-Wno-tsan'],
  memory: ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
};
const TAKERS = '4';
const TICKETS = '10000000';
const GENERATIONS = '512';

export async function stressThreadsTsan(context) {
  return stress(context, 'thread', ['threads', TAKERS, TICKETS, GENERATIONS]);
}

export async function stressThreadsAsan(context) {
  return stress(context, 'memory', ['threads', TAKERS, TICKETS, GENERATIONS]);
}

export async function stressProcessesAsan(context) {
  return stress(context, 'memory', ['processes', TAKERS, TICKETS, GENERATIONS]);
}

export async function stressProcesses(context) {
  return stress(context, 'none', ['processes', TAKERS, context.long ? '200000000' : TICKETS, '4096']);
}

export async function stressSpoiled(context) {
  return stress(context, 'memory', ['spoiled', context.long ? '60' : '5']);
}

export async function channelThreadsTsan(context) {
  return stress(context, 'thread', ['threads', context.long ? '500000' : '10000'], 'channel_stress');
}

export async function channelProcessesAsan(context) {
  return stress(context, 'memory', ['processes', context.long ? '500000' : '50000'], 'channel_stress');
}

export async function channelProcesses(context) {
  return stress(context, 'none', ['processes', context.long ? '5000000' : '200000'], 'channel_stress');
}

export async function channelSpoiled(context) {
  return stress(context, 'memory', ['spoiled', context.long ? '60' : '5'], 'channel_stress');
}

async function stress(context, sanitizer, args, name = 'stress') {
  const program = await compile(context, name, sanitizer);
  return (await run(program, args, { seconds: context.long ? 1_800 : 480 })).trim();
}

export async function pauses(context) {
  const program = await compile(context, 'pause', 'none');
  const count = context.long ? '1000000' : '50000';
  return (await run(program, [count], { seconds: context.long ? 1_800 : 480 })).trim();
}

/** The check of the check: takers that pass over the flag must be seen. */
export async function pausesBroken(context) {
  const program = await compile(context, 'pause', 'none');
  const { output, code } = await attempt(program, ['1000', 'broken'], { seconds: 120 });
  const late = Number(output.match(/taken in a window: (\d+)/)?.[1]);
  if (code !== 1 || !(late > 0)) throw new Error(`not seen:\n${output}`);
  return `takers that pass over the flag are seen: ${late.toLocaleString('en')} takes in windows`;
}

async function compile({ root, out }, name, sanitizer) {
  const program = join(out, `${name}-${sanitizer}`);
  const source = join(root, 'test', 'native', `${name}.cc`);
  const flags = ['-std=c++20', '-g', '-Wall', '-Wextra', '-Werror', '-pthread', ...SANITIZERS[sanitizer]];
  await run('g++', [...flags, source, '-o', program]);
  return program;
}
