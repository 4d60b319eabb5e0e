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

/** Settles as `task` does, or rejects with the signal's reason where that comes first. */
export function unlessAborted<T>(signal: AbortSignal, task: Promise<T>): Promise<T> {
  if (signal.aborted) {
    task.catch(() => {}); // nobody will look
    return Promise.reject(signal.reason);
  }
  return new Promise<T>((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    onAbort(signal, aborted);
    task.then(resolve, reject).finally(() => offAbort(signal, aborted));
  });
}

/**
 * Runs `task`, and aborts the controller that it is given as soon as the caller's signal aborts, or after `timeout` ms for
 * the reason that `late` gives. Settles as `task` does, which looks at the controller's signal itself. Where the signal has
 * aborted, it rejects with its reason, and `task` is not run.
 */
export async function withDeadline<T>(
  { signal, timeout }: { readonly signal?: AbortSignal | undefined; readonly timeout?: number | undefined },
  late: () => Error,
  task: (ending: AbortController) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const ending = new AbortController();
  const aborted = (): void => ending.abort(signal?.reason);
  const timer = timeout === undefined ? undefined : setTimeout(() => ending.abort(late()), timeout);
  if (signal !== undefined) onAbort(signal, aborted);
  try {
    return await task(ending);
  } finally {
    clearTimeout(timer);
    if (signal !== undefined) offAbort(signal, aborted);
  }
}

function aborted(this: AbortSignal): void {
  for (const listener of waiting.get(this) ?? []) listener(); // one may take another one back
  forget(this);
}

function forget(signal: AbortSignal): void {
  waiting.delete(signal);
  signal.removeEventListener('abort', aborted);
}
