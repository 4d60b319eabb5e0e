/** Point 2: the protocol of a window across processes, as a Promela model, and mutants of it that must be caught. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inParallel } from '../lib/in-parallel.js';
import { catchEach } from './mutants.js';
import { attempt, run } from './process.js';

export const packages = ['g++', 'spin'];

/**
 * The properties of window.pml. Those of liveness need weak fairness: every process that can go on does. `small` is
 * for CI, where the whole search takes too long.
 */
const properties = {
  deadlock: { claim: undefined, fair: false, what: 'no deadlock' },
  airtight: {
    claim: 'airtight',
    fair: false,
    what: 'nothing counted or called between the last ping and resume',
  },
  reopens: { claim: 'reopens', fair: true, what: 'the pool always opens again', small: ['-DCALLS=0'] },
  answers: {
    claim: 'answers',
    fair: true,
    what: 'every call is answered',
    small: ['-DWINDOWS=1', '-DREFRESHES=0'],
  },
  all_windows: {
    claim: 'all_windows',
    fair: true,
    what: 'every window gets its turn',
    small: ['-DREFRESHES=0'],
  },
};

const mutants = [
  { name: 'LOOK_FIRST', what: 'the flag is looked at before the count', property: 'airtight' },
  { name: 'PING_OVERTAKES', what: 'a ping is answered before what was sent first', property: 'airtight' },
  { name: 'PING_DOES_NOT_DRAIN', what: 'a ping does not wait for transactions', property: 'airtight' },
  { name: 'REFRESH_REOPENS', what: 'a refresh clears the flag', property: 'airtight' },
  { name: 'CALLS_NOT_HELD', what: 'calls are sent in a window', property: 'airtight' },
  { name: 'NO_UNDO', what: 'a refused transaction stays counted', property: 'reopens' },
  { name: 'SLOT_NOT_CLEARED', what: "a dead process's counts stay", property: 'reopens' },
  {
    name: 'CLEARED_AFTER_FORK',
    what: 'a slot is cleared when the new process may have counted already',
    property: 'reopens',
  },
  {
    name: 'STAYS_CLOSED_WHEN_IT_THROWS',
    what: 'a window whose function throws is not ended',
    property: 'reopens',
  },
];

export async function checkModel({ root, out, long }) {
  const results = await inParallel(long ? 1 : 2, Object.keys(properties), async (property) => {
    const size = long ? ['-DCALLS=2'] : (properties[property].small ?? []);
    const { errors, states } = await search(
      root,
      join(out, `model-${property}`),
      size,
      property,
      long ? 3_600 : 480,
    );
    console.log(
      `  ${errors === 0 ? 'ok' : 'FAILED'} ${property} (${properties[property].what}): ${[...size, `${states} states`].join(' ')}`,
    );
    return errors;
  });
  if (results.some((errors) => errors > 0)) throw new Error('the model breaks a property');
  return `${results.length} properties hold`;
}

export async function checkModelMutants({ root, out }) {
  return catchEach(mutants, async ({ name, property }) => {
    const { errors } = await search(root, join(out, `model-${name}`), [`-D${name}`], property, 480);
    return errors > 0 ? property : undefined;
  });
}

async function search(root, directory, defines, property, seconds) {
  const { claim, fair } = properties[property];
  mkdirSync(directory, { recursive: true });
  copyFileSync(join(root, 'test', 'model', 'window.pml'), join(directory, 'window.pml'));
  await run('spin', ['-a', ...defines, 'window.pml'], { cwd: directory });
  const kind = fair ? ['-DNFAIR=5'] : ['-DSAFETY'];
  if (claim === undefined) kind.push('-DNOCLAIM');
  await run('gcc', ['-O2', '-w', '-DCOLLAPSE', '-DVECTORSZ=2048', ...kind, '-o', 'pan', 'pan.c'], {
    cwd: directory,
  });
  const args = ['-m2000000'];
  if (fair) args.push('-a', '-f');
  if (claim !== undefined) args.push('-N', claim);
  const { output } = await attempt('./pan', args, { cwd: directory, seconds });
  const errors = output.match(/errors: (\d+)/);
  const states = output.match(/(\d+) states, stored/);
  if (errors === null || states === null || /max search depth too small|out of memory/.test(output)) {
    throw new Error(`${property}: the search did not end\n${output.slice(-2_000)}`);
  }
  return { errors: Number(errors[1]), states: Number(states[1]).toLocaleString('en') };
}
