/** The subjects that are timed wherever a pid can be asked for: in the primary, in a thread and in a replica. */

import { pid } from 'ballermann';
import { constantly, countingFrom, type Subject, Turns } from './subject.js';

/** Replicas of the real pools. */
export const REPLICAS = 8;

export function commonSubjects(): Subject[] {
  return [empty(), atomicsAdd(), pidByName(new Turns(REPLICAS, () => pid('bench')))];
}

export function empty(): Subject {
  return { name: 'empty function', task: () => 0, expected: constantly(0) };
}

export function atomicsAdd(): Subject {
  const words = new Int32Array(new SharedArrayBuffer(64));
  return { name: 'Atomics.add', task: () => Atomics.add(words, 0, 1), expected: countingFrom(0) };
}

/** @param turns of the pool 'bench' in this thread. */
export function pidByName(turns: Turns): Subject {
  return {
    name: 'pid by name',
    task: () => pid('bench'),
    expected: turns,
    verify: () => turns.verify(),
  };
}
