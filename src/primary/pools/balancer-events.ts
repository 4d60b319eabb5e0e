/** What a pool tells: its events. */

export interface BalancerEvents {
  /** A refresh is complete. These pids are in rotation (there may be none), and their number is the new `original`. */
  refresh: [{ readonly pids: readonly number[] }];
  /** The pool has a replica again. */
  connect: [];
  /** The last replica is gone. `pid` throws ERR_DISCONNECTED until the next 'connect'. */
  disconnect: [];
  /** All replicas of the pool are blocked. They are in rotation all the same, because there is no other. */
  panic: [{ readonly pids: readonly number[] }];
  /** The 'panic' is over: a replica is no longer blocked, or none is left. Blocked replicas are out of rotation again. */
  calm: [];
  /** A window has opened: the pool hands out nothing. */
  pause: [];
  /** The window has ended: the pool goes on. */
  resume: [];
  /** The pool is closed, and its name is free. */
  close: [];
}
