/** The subjects that only the primary has: pools as objects, the addon, rings of any size. */

import { type Balancer, pid, type Selection } from 'ballermann';
import { addon } from '#src/memory/addon.js';
import { Ring } from '#src/memory/ring.js';
import { Rotation } from '#src/memory/rotation.js';
import { Segment } from '#src/memory/segment.js';
import { constantly, type Subject, Turns, together } from './subject.js';
import { atomicsAdd, empty, pidByName, REPLICAS } from './subjects.js';

export const SLOTS = [1, 8, 64, 256, 1000];

/** Of few replicas it looks at all, of more at two. */
const LEAST_QUEUE = [4, 16];

/** Pools 'bench' and 'other' are there. @param bench the first of them. */
export function primarySubjects(bench: Balancer): Subject[] {
  const turns = new Turns(REPLICAS, () => bench.pid());
  return [
    empty(),
    counter(),
    atomicsAdd(),
    addonCall(),
    { name: 'pid by object', task: () => bench.pid(), expected: turns, verify: () => turns.verify() },
    pidByName(turns),
    twoPools(turns),
    ...SLOTS.map((count) => slots(count)),
    ...LEAST_QUEUE.map((count) => slots(count, 'least-queue')),
  ];
}

function counter(): Subject {
  let count = 0;
  let expected = 0;
  return {
    name: 'counter',
    task: () => {
      count = (count + 1) | 0;
      return 1;
    },
    expected: {
      next(calls) {
        expected = (expected + calls) | 0;
        if (count !== expected) throw new Error(`counted to ${count}, not ${expected}`);
        return calls | 0;
      },
    },
  };
}

function addonCall(): Subject {
  const native = addon();
  const { index: ring } = ringOf(8);
  native.claim(ring, 8 * 12_345, new Int32Array(native.layout.rotationBytes / 4).fill(native.layout.noKey));
  const ticket = native.ticket(ring);
  return { name: 'node-addon-api call', task: () => native.ticket(ring), expected: constantly(ticket) };
}

function twoPools(bench: Turns): Subject {
  const other = new Turns(REPLICAS, () => pid('other'));
  return {
    name: 'pid by name, two pools in turn',
    task: () => pid('bench') + pid('other'),
    callsPerTask: 2,
    expected: together(bench, other),
    verify: () => other.verify(),
  };
}

/**
 * A rotation of made-up pids: nobody forks a thousand replicas to time a hand-out. They have no unfinished messages, so
 * that 'least-queue', which looks at them for each pid, must give the very same rotation.
 */
function slots(count: number, selection: Selection = 'round-robin'): Subject {
  const leastQueue = selection === 'least-queue';
  const rotation = new Rotation(Segment.require(), ringOf(count, leastQueue).index, (why) => {
    throw new Error(`the ring refused: ${why}`);
  });
  const turns = new Turns(count, () => rotation.next());
  return {
    name: leastQueue ? `least-queue of ${count}` : `rotation of ${count}`,
    task: () => rotation.next(),
    expected: turns,
    verify: () => turns.verify(),
  };
}

function ringOf(count: number, leastQueue = false): Ring {
  const name = `made up, ${count}, ${Math.random()}`;
  const ring = new Ring(Segment.require(), name, Number.POSITIVE_INFINITY, leastQueue);
  ring.publish(Array.from({ length: count }, (_, i) => ({ pid: 4_000_000 + i, slot: i + 1 })));
  return ring;
}
