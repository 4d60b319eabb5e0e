/** Starts the process of a child: forks it, gives its servers their sockets, and makes the primary's end of it. */

import { basename } from 'node:path';
import { codecs } from '../../channel/codec.js';
import { Slot } from '../../memory/slot.js';
import * as listeners from '../listening/listeners.js';
import { reportPath } from '../liveness/hang-report.js';
import { ChannelEnds } from '../replicas/channel-ends.js';
import { Lifeline } from '../replicas/lifeline.js';
import { replicas } from '../replicas/registry.js';
import type { Counters } from '../replicas/replica-channel.js';
import { type ReplicaOwner, ReplicaProcess } from '../replicas/replica-process.js';
import { ownSegment } from '../replicas/slots.js';
import type { Child } from './child.js';
import { forkReplica } from './fork.js';
import type { SlotSettings } from './slot-settings.js';
import type { SupervisorSettings } from './supervisor-options.js';

/** Whose process it is to be: one a supervisor. */
export interface ProcessOwner extends ReplicaOwner {
  readonly counters: Counters;
  readonly slotSettings: SlotSettings;
}

/**
 * @param refused is told, in a later turn, why the system refuses to make a process.
 * @returns undefined then.
 */
export function startProcess(
  child: Child,
  settings: SupervisorSettings,
  owner: ProcessOwner,
  refused: (error: Error) => void,
): ReplicaProcess | undefined {
  const { segment, fd } = ownSegment();
  const { slot, incarnation } = child;
  const { exec, sticky, serialization, waitReady } = settings;
  const blockedAfter = child.mayBeDebugged ? Number.POSITIVE_INFINITY : settings.blockedAfter;
  new Slot(segment, slot).clear(); // again: a replica may have written there since the last one's exit
  child.report = reportPath(settings.hangReports, slot);
  const made = makeShared(refused);
  if (made === undefined) return undefined;
  const { lifeline, ends } = made;
  const inherited = { segment: fd, lifeline: lifeline.fd, channel: ends.ofReplica };
  const worker = forkReplica(settings, child, inherited, child.report, refused);
  lifeline.inherited();
  ends.inherited();
  if (worker === undefined) {
    lifeline.cut();
    ends.discard();
    return undefined;
  }
  // Before the replica's own listeners: its death is known to the sockets before the child is removed.
  listeners.serve({ worker, owner, place: slot, sticky }, segment);
  const { windows, maxQueueLength } = owner.slotSettings;
  const codec = codecs[serialization];
  const script = basename(exec);
  const limits = { windows, blockedAfter, maxQueueLength };
  const place = { segment, slot, incarnation, codec, script, lifeline, ends, ...limits };
  const replica = new ReplicaProcess(worker, place, owner, owner.counters);
  replicas.set(replica.pid, replica);
  if (waitReady === 'online') replica.readyWhenOnline();
  return replica;
}

/** What the replica and the primary have together. */
function makeShared(refused: (error: Error) => void): { lifeline: Lifeline; ends: ChannelEnds } | undefined {
  let lifeline: Lifeline | undefined;
  try {
    lifeline = new Lifeline();
    return { lifeline, ends: new ChannelEnds() };
  } catch (error) {
    lifeline?.inherited();
    lifeline?.cut();
    setImmediate(refused, error as Error);
    return undefined;
  }
}
