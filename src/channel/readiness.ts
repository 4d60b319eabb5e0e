/** When a replica is ready: what the options of `supervise` say, and what both ends of the channel act upon. */

/**
 * What makes a replica ready. 'listen': its first handle(), ready() or listening socket. 'ready': only ready(). 'online': its
 * process runs.
 */
export type WaitReady = 'listen' | 'ready' | 'online';

/** What a replica that is not ready has not done. */
export const missing: Readonly<Record<WaitReady, string>> = {
  listen: 'it has called neither handle() nor ready(), and does not listen',
  ready: "it has not called ready(), and with waitReady: 'ready' nothing else counts",
  online: 'it has not connected to the primary',
};

/** What pm2's applications send with process.send: the same as ready(). */
export const READY_MESSAGE = 'ready';
