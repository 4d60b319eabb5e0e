/**
 * The application's own `sticky`, made safe: whatever it gives or throws, a connection has a key, and the primary that
 * accepts it goes on.
 */

import { types } from 'node:util';
import { show } from '../../arguments.js';
import { fromErrorData, toErrorData } from '../../errors.js';
import { byAddress, type StickyKey } from './sticky.js';

/** ms between two warnings: a function that fails mostly fails for each connection. */
const BETWEEN = 60_000;

const ASYNC = 'a promise instead of a string: the function cannot be async';

/** @param warn is given a text, and what was thrown, at the first failure; and then at most once a minute. */
export function safely(sticky: StickyKey, warn: (text: string, thrown?: Error) => void): StickyKey {
  let warnedAt = Number.NEGATIVE_INFINITY;
  let unsaid = 0;

  const failed = (how: string, thrown?: Error): void => {
    const now = performance.now();
    if (now - warnedAt < BETWEEN) {
      unsaid++;
      return;
    }
    const again = unsaid === 0 ? '' : `, as did ${unsaid} before it`;
    warnedAt = now;
    unsaid = 0;
    warn(`the sticky function ${how}; this connection goes by its address${again}`, thrown);
  };

  return ({ address, port }) => {
    try {
      const key: unknown = sticky({ address, port });
      if (typeof key === 'string' || Number.isFinite(key)) return String(key);
      if (types.isPromise(key)) key.then(undefined, () => {}); // else a rejection would end the process
      failed(`returned ${types.isPromise(key) ? ASYNC : `${show(key)} instead of a string`}`);
    } catch (error) {
      const thrown = fromErrorData(toErrorData(error));
      failed(`threw ${thrown.name}: ${thrown.message}`, thrown);
    }
    return byAddress({ address, port });
  };
}
