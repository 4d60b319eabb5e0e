/** A process that has one contender and measures it when told to. It ends with the process that forked it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Contender, contenders } from './contenders.js';
import { type Driven, drive, driveFirst } from './load.js';
import { type CpuTask, type Message, payloadOf, type Reply, type Sample } from './messages.js';

/** What is to be sent, and how much of it. */
export interface Order {
  readonly sample: Sample;
  readonly task: CpuTask;
  readonly load:
    | { readonly inFlight: number; readonly leadIn: number; readonly ms: number }
    | { readonly first: number };
}

/** What was counted, µs a call of the first ones, or the text of an error. */
export type Answer = Driven | number | string;

const contender = await start(process.argv[2] as string);

process.on('message', async (order: Order) => {
  process.send?.(await obey(order));
});
process.on('disconnect', async () => {
  await Promise.race([contender.close(), sleep(5000)]);
  process.exit();
});
process.on('SIGINT', () => {}); // reaches all of a terminal's processes; the end comes with the channel's
process.send?.('ready');

async function start(name: string): Promise<Contender> {
  const found = contenders[name];
  if (found === undefined) throw new Error(`no contender named ${name}`);
  return found();
}

async function obey({ sample, task, load }: Order): Promise<Answer> {
  const call = (message: Message): Promise<Reply> => contender.call(message);
  try {
    const payload = payloadOf(sample, task);
    if ('first' in load) return await driveFirst(call, payload, load.first);
    return await drive(call, { ...load, payload });
  } catch (error) {
    return String(error);
  }
}
