/** A process that has one contender and measures it when told to. It ends with the process that forked it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Contender, contenders } from './contenders.js';
import { drive } from './load.js';
import { type CpuTask, cpu, echo } from './messages.js';

export interface Order {
  readonly inFlight: number;
  /** Characters of an echo's text, or the CPU task. */
  readonly content: number | CpuTask;
  readonly leadIn: number;
  readonly ms: number;
}

/** Replies a second, or the text of an error. */
export type Answer = number | string;

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

async function obey({ content, ...load }: Order): Promise<Answer> {
  try {
    const payload = typeof content === 'number' ? echo(content) : cpu(content);
    const { perSecond } = await drive((message) => contender.call(message), { ...load, payload });
    return perSecond;
  } catch (error) {
    return String(error);
  }
}
