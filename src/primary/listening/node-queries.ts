/**
 * What a replica asks Node's own primary: for datagram sockets, and for all where node:cluster distributes. Node tells
 * sockets apart by what they are bound to, for the whole process; here they are made another supervisor's as well, and
 * a descriptor is lent instead of given away.
 */

import type { Worker } from 'node:cluster';
import { isDescriptor, isNodeQuery, type NodeQuery } from '../../channel/node-messages.js';
import type { Addon } from '../../memory/addon.js';
import { lend } from './descriptors.js';
import { numberOf } from './owners.js';

/** From now on. All that listen for Node's internal messages get them by this `emit`. */
export function separateQueries(worker: Worker, owner: object, addon: Addon): void {
  const { process } = worker;
  const { emit } = process;
  const number = numberOf(owner);
  process.emit = function (this: typeof process, event: string, ...args: unknown[]): boolean {
    const [message] = args;
    if (event === 'internalMessage' && isNodeQuery(message)) args[0] = separated(message, number, addon);
    return Reflect.apply(emit, this, [event, ...args]);
  } as typeof emit;
}

/** Node has `fd` in its key, and takes a negative one for none. */
function separated(query: NodeQuery, owner: number, addon: Addon): NodeQuery {
  const { fd } = query;
  return { ...query, fd: isDescriptor(fd) ? lend(owner, fd, addon) : -1 - owner };
}
