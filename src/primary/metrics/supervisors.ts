/** The supervisors of this process that are not closed, in the order in which they began. */

import type { SupervisorMetrics } from './supervisor-metrics.js';

/** Whoever can be asked for its figures. */
export interface Measured {
  metrics(): SupervisorMetrics;
}

export const supervisors = new Set<Measured>();
