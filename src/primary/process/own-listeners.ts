/** The application's own listeners for a signal, those for once included. */

/** Listeners that were taken away in this turn, by signal. */
const takenAway = new Map<string | symbol, number>();

/** From now on, until `unwatchOwnListeners`. */
export function watchOwnListeners(): void {
  process.on('removeListener' as 'newListener', note);
}

export function unwatchOwnListeners(): void {
  process.off('removeListener' as 'newListener', note);
}

/**
 * Called in a listener for the signal: how many others there were when the signal came. One for once is taken away just
 * before it is called, so it may be gone by now.
 */
export function ownListeners(signal: NodeJS.Signals): number {
  return process.listenerCount(signal) - 1 + (takenAway.get(signal) ?? 0);
}

/** All listeners of one signal are called without a microtask between them. */
function note(event: string | symbol): void {
  if (takenAway.size === 0) queueMicrotask(() => takenAway.clear());
  takenAway.set(event, (takenAway.get(event) ?? 0) + 1);
}
