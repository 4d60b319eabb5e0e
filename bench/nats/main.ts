/**
 * What a call over NATS costs, next to a bare NATS request to a micro service with the same payload, and to one that hands it to
 * a child process. All have one nats-server, and call from this process. In each round every contender is measured once, in an
 * order that changes.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connect } from '@nats-io/transport-node';
import { fleetPool } from 'ballermann/nats';
import { drive } from '../calls/load.js';
import type { Message, Payload, Reply } from '../calls/messages.js';
import { options, progress } from '../command.js';
import { medianRatio, shuffled, spread, threeDigits, verdictOf } from '../figures.js';
import { Server } from '../fleet/server.js';
import { machine, machineLine } from '../machine.js';
import { table } from '../tables.js';
import type { Kind } from './machine.js';

const { quick, markdown } = options('bench:nats');
const rounds = quick ? 3 : 9;
const effort = quick ? { leadIn: 100, ms: 300 } : { leadIn: 300, ms: 1000 };
/** Of a bare request. */
const TARGET = 0.85;
/** ms */
const WORK = 5;
const PRIMARIES = [1, 2, 3];

/** @param ms that a replica is to work on it, and on nothing else. */
function payloadOf(ms: number): Payload {
  return {
    make: (n) => ({ n, text: 'a small message', ms }) as Message,
    check(n, reply) {
      if (reply.n !== n) throw new Error(`wrong reply: ${JSON.stringify(reply)}`);
    },
  };
}

interface Contender {
  readonly name: string;
  readonly call: (message: Message) => Promise<Reply>;
}

/** The first of `among` is what the others are compared with. */
interface Experiment {
  readonly title: string;
  readonly payload: Payload;
  readonly inFlight: number;
  readonly among: readonly Contender[];
  /** For the fleet of one. */
  readonly target?: number;
}

const machines: ChildProcess[] = [];
try {
  await using server = await Server.start();
  const { url } = server;
  const nc = await connect({ servers: url });
  const decoder = new TextDecoder();
  const request = async (kind: Kind, name: string): Promise<Contender> => {
    const subject = kind.replace(' ', '-');
    await serve(kind, url, subject);
    return {
      name,
      async call(message) {
        const { data } = await nc.request(subject, JSON.stringify(message), { timeout: 5000 });
        return JSON.parse(decoder.decode(data));
      },
    };
  };
  const requests = [
    await request('bare', 'bare request'),
    await request('by hand', 'request, handed to a child by process.send'),
  ];
  const fleets: Contender[] = [];
  for (const count of PRIMARIES) {
    const name = `primaries${count}`;
    for (let i = 0; i < count; i++) await serve('fleet', url, name);
    const fleet = fleetPool(nc, name);
    await fleet.ready;
    fleets.push({ name: `fleet of ${count}`, call: (message) => fleet.call(message) as Promise<Reply> });
  }
  console.log(`${machineLine()}; one replica each; medians of ${rounds} rounds (lowest to highest)\n`);
  const experiments: Experiment[] = [
    {
      title: 'small object, 1 in flight',
      payload: payloadOf(0),
      inFlight: 1,
      among: [...requests, ...fleets.slice(0, 1)],
      target: TARGET,
    },
    {
      title: 'small object, 64 in flight',
      payload: payloadOf(0),
      inFlight: 64,
      among: [...requests, ...fleets],
      target: TARGET,
    },
    {
      title: `work of ${WORK} ms, one at a time in a replica, 64 in flight`,
      payload: payloadOf(WORK),
      inFlight: 64,
      among: fleets,
    },
  ];
  const results: { title: string; series: Series[] }[] = [];
  for (const experiment of experiments) {
    const series = await measure(experiment);
    results.push({ title: experiment.title, series });
    console.log(`${report(experiment, series)}\n`);
  }
  await nc.close();
  const file = new URL('../../../bench/results-nats.json', import.meta.url);
  writeFileSync(file, `${JSON.stringify({ ...machine, rounds, ...effort, results }, undefined, 1)}\n`);
} finally {
  for (const one of machines) if (one.connected) one.disconnect();
}

interface Series {
  readonly name: string;
  readonly rounds: number[];
}

async function measure({ title, payload, inFlight, among }: Experiment): Promise<Series[]> {
  const series = among.map(({ name, call }) => ({ name, call, rounds: [] as number[] }));
  const one = ({ call }: Contender) => drive(call, { inFlight, payload, ...effort });
  for (const contender of series) await one(contender);
  for (let round = 0; round < rounds; round++) {
    progress(`${title}, round ${round + 1} of ${rounds}`);
    for (const contender of shuffled(series)) contender.rounds.push((await one(contender)).perSecond);
  }
  progress('');
  return series.map(({ name, rounds }) => ({ name, rounds }));
}

function report({ title, target }: Experiment, series: readonly Series[]): string {
  const [reference] = series;
  const rows = series.map(({ name, rounds }) => {
    const { median, min, max } = spread(rounds);
    const ratio = medianRatio(rounds, reference?.rounds);
    const range = `${threeDigits(min)} to ${threeDigits(max)}`;
    const isHeld = target !== undefined && name === 'fleet of 1';
    const verdict = isHeld ? `${target}: ${verdictOf(ratio, ratio >= target)}` : '';
    return [name, threeDigits(median), range, threeDigits(ratio), verdict];
  });
  return table([title, 'calls/s', 'lowest to highest', `x ${reference?.name}`, 'target'], rows, markdown);
}

async function serve(kind: Kind, url: string, name: string): Promise<void> {
  const script = fileURLToPath(new URL('./machine.js', import.meta.url));
  const child = fork(script, [kind, url, name]);
  machines.push(child);
  await once(child, 'message');
}
