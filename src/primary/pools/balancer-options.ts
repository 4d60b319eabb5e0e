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

/** How a pool chooses the next replica. */
export type Selection = 'round-robin' | 'least-queue';

export interface BalancerOptions {
  /**
   * The pool is refreshed when fewer than this part of its replicas are alive, compared with the last refresh. Above 0, up to
   * 1. @default 0.8
   */
  minAliveRatio?: number;
  /** While the pool has no replica, it looks for one each time after this many ms. @default 1000 */
  reconnectDelay?: number;
  /**
   * A replica with this many unfinished messages is passed over. If all have as many, calls fail with ERR_OVERLOAD. At least
   * 1. @default Infinity
   */
  maxQueueLength?: number;
  /** Whether the pool takes replicas in at once. If false, it is empty until refresh(). @default true */
  connect?: boolean;
  /**
   * 'round-robin' gives each replica the same number of messages. 'least-queue' prefers replicas with fewer unfinished
   * messages, for tasks of unequal size. @default 'round-robin'
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

export const balancerOptionNames: readonly string[] = [
  'minAliveRatio',
  'reconnectDelay',
  'maxQueueLength',
  'connect',
  'selection',
];

/** @param given the ratio alone, as in the original, or the options. @throws TypeError, RangeError. */
export function balancerSettings(given: number | BalancerOptions | undefined): BalancerSettings {
  if (typeof given === 'number') return balancerSettings({ minAliveRatio: given });
  if (given !== undefined && (typeof given !== 'object' || given === null)) {
    throw badType('ratio', 'a number above 0 and up to 1, or an object of options', given);
  }
  checkOptions('options', given, balancerOptionNames);
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
