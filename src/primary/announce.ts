/** How supervisors and pools emit their events. */

import type { EventEmitter } from 'node:events';

/** In a tick of its own: what a listener does or throws cannot come between the steps of who tells. */
export function announce<Events extends Record<keyof Events, unknown[]>, Name extends keyof Events & string>(
  emitter: EventEmitter<Events>,
  name: Name,
  ...args: Events[Name]
): void {
  process.nextTick(() => (emitter as EventEmitter).emit(name, ...args));
}
