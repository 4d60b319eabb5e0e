/**
 * A process that serves, and ends with whoever forked it: a primary whose pool has joined the fleet, a bare micro service, or
 * one that hands its requests to a child, as one writes it by hand.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { balance, supervise } from 'ballermann';
import { join } from 'ballermann/nats';

export type Kind = 'bare' | 'by hand' | 'fleet';

/** What `by hand` sends to its child, and gets back. */
export interface Handed {
  readonly id: number;
  readonly value: unknown;
}

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

async function serve(kind: Kind, nc: NatsConnection, name: string): Promise<void> {
  switch (kind) {
    case 'bare':
      answer(nc, name, (message) => respond(message, message.json()));
      break;
    case 'by hand':
      answer(nc, name, handOver());
      break;
    case 'fleet': {
      const options = { exec: script('./replica.js'), replicas: 1, log: false, control: false } as const;
      await join(nc, await balance(await supervise(options), name));
    }
  }
  await nc.flush();
}

function answer(nc: NatsConnection, subject: string, callback: (message: Msg) => void): void {
  nc.subscribe(subject, { queue: 'q', callback: (_, message) => callback(message) });
}

function respond(message: Msg | undefined, value: unknown): void {
  message?.respond(JSON.stringify(value));
}

function handOver(): (message: Msg) => void {
  const child = fork(script('./child.js'));
  const unanswered = new Map<number, Msg>();
  let next = 0;
  child.on('message', ({ id, value }: Handed) => {
    respond(unanswered.get(id), value);
    unanswered.delete(id);
  });
  return (message) => {
    const handed: Handed = { id: next++, value: message.json() };
    unanswered.set(handed.id, message);
    child.send(handed);
  };
}

const [kind, url, name] = process.argv.slice(2) as [Kind, string, string];
await serve(kind, await connect({ servers: url }), name);
process.on('disconnect', () => process.exit());
process.send?.('ready');
