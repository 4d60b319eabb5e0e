/** The options of `balance`: their meaning, their defaults, their checks. */

import {
  badRange,
  badType,
  checkBoolean,
  checkInteger,
  checkMilliseconds,
  checkOneOf,
  checkOptions,
  checkString,
} from '../../arguments.js';

export type Selection = 'round-robin' | 'least-queue';

export interface BalancerOptions {
  /** Replicas alive / replicas at the last refresh below which the pool is refreshed; above 0, up to 1. @default 0.8 */
  minAliveRatio?: number;
  /** ms between looks for replicas while there are none. @default 1000 */
  reconnectDelay?: number;
  /** Unfinished messages at which a replica is passed over; at least 1. @default Infinity */
  maxQueueLength?: number;
  /** Whether the pool takes replicas in at once; else at the first refresh(). @default true */
  connect?: boolean;
  /**
   * How the next replica is chosen: 'round-robin' gives each the same number; 'least-queue' prefers those with fewer
   * unfinished messages, for tasks of unequal size. @default 'round-robin'
   */
  selection?: Selection;
}

export interface BalancerSettings {
  readonly minAliveRatio: number;
  readonly reconnectDelay: number;
  readonly maxQueueLength: number;
  readonly connect: boolean;
  readonly selection: Selection;
}

const KEYS = ['minAliveRatio', 'reconnectDelay', 'maxQueueLength', 'connect', 'selection'];

/** @param given the ratio alone, as in the original, or the options. @throws TypeError, RangeError. */
export function balancerSettings(given: number | BalancerOptions | undefined): BalancerSettings {
  if (typeof given === 'number') return balancerSettings({ minAliveRatio: given });
  if (given !== undefined && (typeof given !== 'object' || given === null)) {
    throw badType('ratio', 'a number above 0 and up to 1, or an object of options', given);
  }
  checkOptions('options', given, KEYS);
  const {
    minAliveRatio = 0.8,
    reconnectDelay = 1000,
    maxQueueLength = Number.POSITIVE_INFINITY,
    connect = true,
    selection = 'round-robin',
  } = given ?? {};
  return {
    minAliveRatio: checkRatio(minAliveRatio),
    reconnectDelay: checkMilliseconds('options.reconnectDelay', reconnectDelay),
    maxQueueLength: checkMaxQueueLength(maxQueueLength),
    connect: checkBoolean('options.connect', connect),
    selection: checkOneOf('options.selection', selection, ['round-robin', 'least-queue']),
  };
}

function checkRatio(ratio: unknown): number {
  const expected = 'a number above 0 and up to 1';
  if (typeof ratio !== 'number') throw badType('ratio', expected, ratio);
  if (!(ratio > 0 && ratio <= 1)) throw badRange('ratio', expected, ratio);
  return ratio;
}

function checkMaxQueueLength(length: unknown): number {
  return length === Number.POSITIVE_INFINITY
    ? length
    : checkInteger('options.maxQueueLength', length, 1, 2 ** 31 - 1);
}

/** @throws TypeError, or RangeError for a name that is empty or longer than the segment holds. */
export function checkPoolName(name: unknown, maxBytes: number): string {
  const text = checkString('name', name);
  const bytes = Buffer.byteLength(text);
  if (bytes < 1 || bytes > maxBytes) {
    throw badRange('name', `1 to ${maxBytes} bytes long in UTF-8`, bytes > 80 ? `${bytes} bytes` : text);
  }
  return text;
}
