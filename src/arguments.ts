/** Checks of what callers pass: each error names the argument, what was expected and what came. */

import { inspect, types } from 'node:util';

/** ms, the longest that Node's timers take. */
export const MAX_TIMER = 2 ** 31 - 1;

export function badType(name: string, expected: string, actual: unknown): TypeError {
  return typeError(`${name} must be ${expected}; got ${show(actual)}`);
}

function typeError(text: string): TypeError {
  return Object.assign(new TypeError(text), { code: 'ERR_INVALID_ARG_TYPE' });
}

export function badRange(name: string, expected: string, actual: unknown): RangeError {
  return Object.assign(new RangeError(`${name} must be ${expected}; got ${show(actual)}`), {
    code: 'ERR_OUT_OF_RANGE',
  });
}

/** What came, for an error text. Never throws. */
export function show(value: unknown): string {
  if (types.isPromise(value)) return 'a promise: did you forget await?';
  try {
    const text = inspect(value, {
      depth: 0,
      breakLength: Number.POSITIVE_INFINITY,
    });
    return text.length > 80 ? `${text.slice(0, 80)}…` : text;
  } catch {
    return `a value of type ${typeof value} that cannot be shown`; // its own inspect threw
  }
}

export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw badNumber(name, `a number from ${min} to ${max}`, value); // the text is made where it is needed: a call is short
}

export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  const expected =
    max === Number.POSITIVE_INFINITY ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
  throw badNumber(name, expected, value);
}

function badNumber(name: string, expected: string, value: unknown): TypeError | RangeError {
  return typeof value === 'number' ? badRange(name, expected, value) : badType(name, expected, value);
}

export function checkMilliseconds(name: string, value: unknown): number {
  return checkNumber(name, value, 0, MAX_TIMER);
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value === 'function') return;
  if (!types.isPromise(value)) throw badType(name, 'a function', value);
  throw typeError(`${name} must be a function; got a promise: pass the function itself, do not call it`);
}

/** A promise would travel as an empty object. */
export function checkMessage(message: unknown): void {
  if (message instanceof Promise) throw badType('message', 'a value that can be sent', message);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw badType(name, 'a boolean', value);
  return value;
}

export function checkString(name: string, value: unknown): string {
  if (typeof value !== 'string') throw badType(name, 'a string', value);
  return value;
}

export function checkStrings(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw badType(name, 'an array of strings', value);
  }
  return value;
}

export function checkOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  const match = allowed.find((item) => item === value);
  if (match === undefined)
    throw badType(name, `one of ${allowed.map((item) => `'${item}'`).join(', ')}`, value);
  return match;
}

export function checkSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw badType(name, 'an AbortSignal', value);
}

/** An options object whose every key is known, so that a misspelt option is not silently ignored. */
export function checkOptions(
  name: string,
  value: unknown,
  known: readonly string[],
): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value) || types.isPromise(value))
    throw badType(name, 'an object', value);
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      throw typeError(`${name}.${key} is no option; the options are ${known.join(', ')}`);
  }
  return value as Record<string, unknown>;
}
