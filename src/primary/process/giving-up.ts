/** What becomes of the process when a supervisor has given up and nobody listens: as with an 'error' that nobody hears. */

import type { Supervisor } from '../supervision/supervisor.js';

/** Exits with code 1 when the last replica has stopped in an orderly way, whatever else keeps the process alive. */
export async function exitWithoutReplicas(supervisor: Supervisor): Promise<void> {
  process.exitCode = 1;
  await supervisor.close();
  process.exit(1);
}
