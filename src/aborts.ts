/**
 * Waiting for AbortSignals of others: one listener a signal, however many calls it was given to. Node takes more than ten on
 * one signal for a leak, and says so.
 */

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Has `listener` called when the signal aborts; at most once, and not after `offAbort`. It must not throw. */
export function onAbort(signal: AbortSignal, listener: () => void): void {
  let listeners = waiting.get(signal);
  if (listeners === undefined) {
    listeners = new Set();
    waiting.set(signal, listeners);
    signal.addEventListener('abort', aborted);
  }
  listeners.add(listener);
}

/** Idempotent. */
export function offAbort(signal: AbortSignal, listener: () => void): void {
  const listeners = waiting.get(signal);
  if (listeners?.delete(listener) && listeners.size === 0) forget(signal);
}

function aborted(this: AbortSignal): void {
  for (const listener of waiting.get(this) ?? []) listener(); // one may take another one back
  forget(this);
}

function forget(signal: AbortSignal): void {
  waiting.delete(signal);
  signal.removeEventListener('abort', aborted);
}
