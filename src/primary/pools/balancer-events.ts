/** What a pool tells: its events. */

export interface BalancerEvents {
  /** A refresh is complete, also where it found nobody: these pids are in rotation, and their number is the new original. */
  refresh: [{ readonly pids: readonly number[] }];
  /** The pool has a replica again. */
  connect: [];
  /** The last replica went; `pid` throws ERR_DISCONNECTED until the next 'connect'. */
  disconnect: [];
  /** All replicas of the pool are blocked: they are in rotation again, since nobody else is there. */
  panic: [{ readonly pids: readonly number[] }];
  /** One of them turns again, or none is left: blocked replicas are left out as before. */
  calm: [];
  /** A window opened: nothing is handed out. */
  pause: [];
  /** The window ended. */
  resume: [];
  close: [];
}
