/** What a person writes for an option, and what `supervise` takes for it: `512mb`, `30s`, `max`. */

import { availableParallelism } from 'node:os';

/** How the text of an option is read. */
export interface Kind {
  /** What stands for the value in --help; nothing for a flag without one. */
  readonly shown?: string;
  /** What is allowed, for an error text. */
  readonly expected: string;
  readonly allowed?: readonly string[];
  /** @returns undefined where the text makes no sense. */
  read(text: string): unknown;
}

const NONE = /^(?:none|infinity)$/i;

export const text: Kind = { shown: 'TEXT', expected: 'a text', read: (given) => given };

export const name: Kind = { ...text, shown: 'NAME', expected: 'a name', read: (given) => given || undefined };

export const file: Kind = { ...text, shown: 'FILE', expected: 'a path', read: (given) => given || undefined };

export const folder: Kind = { ...file, shown: 'FOLDER' };

export const boolean: Kind = {
  expected: '1, true, yes or on, or 0, false, no or off',
  read: (given) => {
    if (/^(?:1|true|yes|on)$/i.test(given)) return true;
    return /^(?:0|false|no|off)$/i.test(given) ? false : undefined;
  },
};

export const count: Kind = {
  shown: 'N',
  expected: 'a whole number, such as 10',
  read: (given) => (/^\d+$/.test(given) ? Number(given) : undefined),
};

/** A count that may have no limit. */
export const limit: Kind = {
  shown: 'N',
  expected: 'a whole number, such as 1000, or none',
  read: (given) => (NONE.test(given) ? Number.POSITIVE_INFINITY : count.read(given)),
};

export const replicas: Kind = {
  shown: 'N|max',
  expected: 'a whole number of at least 1, or max for one replica a core',
  read: (given) => {
    if (given === 'max') return availableParallelism();
    return /^0*[1-9]\d*$/.test(given) ? Number(given) : undefined;
  },
};

export const ratio: Kind = {
  shown: 'PART',
  expected: 'a number above 0 and up to 1, such as 0.8',
  read: (given) => {
    const value = /^\d*\.?\d+$/.test(given) ? Number(given) : 0;
    return value > 0 && value <= 1 ? value : undefined;
  },
};

const MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** ms */
export const duration: Kind = {
  shown: 'TIME',
  expected: 'a time such as 500ms, 30s, 5m or 1h (a plain number is ms)',
  read: (given) => {
    const [, number, unit = 'ms'] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)?$/i.exec(given) ?? [];
    return number === undefined
      ? undefined
      : Math.round(Number(number) * MS[unit.toLowerCase() as keyof typeof MS]);
  },
};

/** ms, or no limit. */
export const timeLimit: Kind = {
  ...duration,
  expected: `${duration.expected}, or none`,
  read: (given) => (NONE.test(given) ? Number.POSITIVE_INFINITY : duration.read(given)),
};

const BYTES = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 } as const;

/** Bytes, or no limit. As everybody who limits memory means it, a megabyte has 1024 × 1024 of them. */
export const size: Kind = {
  shown: 'SIZE',
  expected: 'a size such as 512mb or 2gb (a plain number is bytes), or none',
  read: (given) => {
    if (NONE.test(given)) return Number.POSITIVE_INFINITY;
    const [, number, unit = 'b'] = /^(\d+(?:\.\d+)?) ?(?:(b|[kmg])(?:i?b)?)?$/i.exec(given) ?? [];
    return number === undefined
      ? undefined
      : Math.round(Number(number) * BYTES[unit.toLowerCase() as keyof typeof BYTES]);
  },
};

export function oneOf(...allowed: string[]): Kind {
  const expected = `one of ${allowed.join(', ')}`;
  return { expected, allowed, read: (given) => (allowed.includes(given) ? given : undefined) };
}

/** One part of an environment: what it is called, and its value. */
export const pair: Kind = {
  shown: 'KEY=VALUE',
  expected: 'KEY=VALUE',
  read: (given) => (/^[^=]+=/.test(given) ? given : undefined),
};
