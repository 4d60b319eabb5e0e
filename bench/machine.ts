/** What a figure was measured on, in one neutral line. */

import { availableParallelism } from 'node:os';

export const machine = {
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
  cores: availableParallelism(),
};

export function machineLine(): string {
  return `Node ${machine.node}, ${machine.platform}, ${machine.cores} cores`;
}
