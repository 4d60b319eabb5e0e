/** How supervisors and pools emit their events: whatever a listener does, the others hear of it and the primary goes on. */

import type { EventEmitter } from 'node:events';
import { types } from 'node:util';

/**
 * In a tick of its own: what a listener does or throws cannot come between the steps of who tells.
 * @param failed is given what a listener threw, or what its promise was rejected with.
 */
export function announce<Events extends Record<keyof Events, unknown[]>, Name extends keyof Events & string>(
  emitter: EventEmitter<Events>,
  name: Name,
  args: Events[Name],
  failed: (error: unknown) => void,
): void {
  process.nextTick(() => {
    for (const listener of (emitter as EventEmitter).rawListeners(name)) {
      try {
        const result: unknown = Reflect.apply(listener, emitter, args);
        if (types.isPromise(result)) result.then(undefined, failed);
      } catch (error) {
        failed(error);
      }
    }
  });
}
