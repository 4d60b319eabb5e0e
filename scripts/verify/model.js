/** Point 2: protocols across processes as Promela models, and mutants of them that must be caught. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inParallel } from '../lib/in-parallel.js';
import { catchEach } from './mutants.js';
import { attempt, run } from './process.js';

export const packages = ['g++', 'spin'];

/**
 * The models. Properties of liveness need weak fairness: every process that can go on does. `small` is for CI, where the
 * whole search takes too long; `large` for the long form, of a property or of all; `always` for both and for the mutants.
 */
const window = { file: 'window.pml', large: ['-DCALLS=2'] };
const fleet = { file: 'fleet-window.pml', large: [] };
const channel = { file: 'channel.pml', large: ['-DMESSAGES=3', '-DSURPRISES=2'] };

window.properties = {
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

window.mutants = [
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

channel.properties = {
  asleep: { claim: undefined, fair: false, what: 'nobody sleeps for ever, and last words are received' },
  progress: {
    claim: 'progress',
    fair: true,
    what: 'each side sends and receives all, or is dead',
    small: ['-DSURPRISES=0'],
  },
};

channel.mutants = [
  { name: 'LOOKS_FIRST', what: 'a side looks once more, then says that it sleeps', property: 'asleep' },
  { name: 'NO_LOOK_FOR_ROOM', what: 'who sleeps for room does not look once more', property: 'asleep' },
  { name: 'SAYS_DATA_ONLY', what: 'who sleeps for room says that it sleeps for data', property: 'asleep' },
  { name: 'RINGS_FIRST', what: 'the look for a sleeper comes before the tail moves', property: 'asleep' },
  { name: 'ROOM_NOT_RUNG', what: 'nobody rings for room', property: 'asleep' },
  { name: 'RINGS_ONCE', what: 'room is rung for only when it becomes half', property: 'asleep' },
  { name: 'CLEARS_AFTER_RING', what: 'a sleeper is taken back after it was rung', property: 'asleep' },
  { name: 'TAKES_AND_FORGETS', what: 'a sleeper is taken back and not rung', property: 'asleep' },
  { name: 'BELL_EMPTIED_LATE', what: 'a bell is emptied after the last look', property: 'asleep' },
  { name: 'EXIT_NOT_SEEN', what: "the other's death wakes nobody", property: 'asleep' },
  { name: 'EXIT_WITHOUT_DRAIN', what: "the other's death ends the reading", property: 'asleep' },
];

fleet.properties = {
  exclusive: {
    claim: undefined,
    fair: false,
    what: 'one coordinator believes in its lease at a time',
    always: ['-DEXCLUSIVE=1'],
    large: ['-DCOORDINATORS=3'],
  },
  airtight: {
    claim: undefined,
    fair: false,
    what: 'nothing works between the last acknowledgement and the end, as long as leases hold',
    always: ['-DAIRTIGHT=1'],
    large: ['-DCOORDINATORS=3'],
  },
  reopens: {
    claim: 'reopens',
    fair: true,
    what: 'every member always opens again',
    always: ['-DWINDOWS=1'],
    small: ['-DFAULTS=1'],
  },
  all_windows: {
    claim: 'all_windows',
    fair: true,
    what: 'every window gets its turn',
    always: ['-DWINDOWS=1'],
    small: ['-DFAULTS=1'],
  },
  reopens_again: {
    claim: 'reopens',
    fair: true,
    what: 'with two windows of each coordinator, and one member',
    always: ['-DMEMBERS=1', '-DWINDOWS=2'],
  },
  all_windows_again: {
    claim: 'all_windows',
    fair: true,
    what: 'with two windows of each coordinator, and one member',
    always: ['-DMEMBERS=1', '-DWINDOWS=2'],
  },
};

fleet.mutants = [
  { name: 'LISTS_FIRST', what: 'who is there is read before the key is taken', property: 'airtight' },
  {
    name: 'READS_FIRST',
    what: 'a member reads the key before its heartbeat is stored',
    property: 'airtight',
  },
  {
    name: 'SERVES_AFTER_LAPSE',
    what: 'a member that had lapsed serves before it reads the key',
    property: 'airtight',
  },
  {
    name: 'OLD_ANSWER_COUNTS',
    what: 'a member that has lapsed since it asked for the key takes the answer',
    property: 'airtight',
  },
  {
    name: 'OLD_ANSWER_ENDS',
    what: 'an answer ends the window that was opened since the question',
    property: 'airtight',
  },
  { name: 'ACKNOWLEDGES_EARLY', what: 'a member acknowledges while it works', property: 'airtight' },
  { name: 'LAPSES_EARLY', what: "a member's lease is shorter than its coordinator's", property: 'airtight' },
  {
    name: 'HEARS_NOBODY',
    what: 'a coordinator that hears no heartbeats lets members lapse that are there',
    property: 'airtight',
  },
  { name: 'TAKES_A_LIVE_KEY', what: 'a key is taken over that has not lapsed', property: 'exclusive' },
  { name: 'NO_REVISION', what: 'the key is taken by whoever writes it', property: 'exclusive' },
  // What needs a second member.
  { name: 'ONE_IS_ENOUGH', what: 'one acknowledgement is enough', property: 'airtight' },
  { name: 'ONE_LAPSE_IS_ALL', what: 'a member that lapses ends the wait for all', property: 'airtight' },
  {
    name: 'ACKNOWLEDGEMENTS_ARE_COUNTED',
    what: 'the acknowledgement of one that joined later counts for one that works',
    property: 'airtight',
  },
  // What needs a second window.
  { name: 'KEEPS_QUIET', what: 'a member is quiet in the next window without a look', property: 'airtight' },
  { name: 'ACKNOWLEDGES_ANY', what: "another window's acknowledgement counts", property: 'airtight' },
  { name: 'OLD_WORD_WINS', what: 'a late word of a window replaces the next one', property: 'airtight' },
  { name: 'OLD_END_COUNTS', what: 'the end of a window ends the next one', property: 'airtight' },
  { name: 'DELETES_ANOTHERS', what: "an end deletes another coordinator's key", property: 'airtight' },
  { name: 'NEVER_LAPSES', what: 'a member waits for the key to go', property: 'reopens_again' },
  { name: 'KEY_STAYS', what: "a dead coordinator's key is not taken over", property: 'all_windows_again' },
  {
    name: 'NOT_THERE_IS_WAITED_FOR',
    what: 'a member that has lapsed is waited for',
    property: 'all_windows_again',
  },
];

export const checkModel = (context) => check(context, window);
export const checkModelMutants = (context) => checkMutants(context, window);
export const checkFleetModel = (context) => check(context, fleet);
export const checkFleetModelMutants = (context) => checkMutants(context, fleet);
export const checkChannelModel = (context) => check(context, channel);
export const checkChannelModelMutants = (context) => checkMutants(context, channel);

async function check({ root, out, long }, model) {
  const { properties } = model;
  const results = await inParallel(long ? 1 : 2, Object.keys(properties), async (property) => {
    const { always = [], small = [], large = model.large } = properties[property];
    const size = [...always, ...(long ? large : small)];
    const { errors, states } = await search(root, model, property, size, {
      directory: join(out, `model-${property}`),
      seconds: long ? 3_600 : 480,
    });
    console.log(
      `  ${errors === 0 ? 'ok' : 'FAILED'} ${property} (${properties[property].what}): ${[...size, `${states} states`].join(' ')}`,
    );
    return errors;
  });
  if (results.some((errors) => errors > 0)) throw new Error(`${model.file} breaks a property`);
  return `${results.length} properties hold`;
}

async function checkMutants({ root, out }, model) {
  return catchEach(model.mutants, async ({ name, property }) => {
    const { always = [] } = model.properties[property];
    const { errors } = await search(root, model, property, [`-D${name}`, ...always], {
      directory: join(out, `model-${name}`),
      seconds: 480,
      level: '-O1', // most are caught sooner than their search is compiled
    });
    return errors > 0 ? property : undefined;
  });
}

async function search(root, { file, properties }, property, defines, { directory, seconds, level = '-O2' }) {
  const { claim, fair } = properties[property];
  mkdirSync(directory, { recursive: true });
  copyFileSync(join(root, 'test', 'model', file), join(directory, file));
  await run('spin', ['-a', ...defines, file], { cwd: directory });
  const kind = fair ? ['-DNFAIR=5'] : ['-DSAFETY'];
  if (claim === undefined) kind.push('-DNOCLAIM');
  await run('gcc', [level, '-w', '-DCOLLAPSE', '-DVECTORSZ=2048', ...kind, '-o', 'pan', 'pan.c'], {
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
