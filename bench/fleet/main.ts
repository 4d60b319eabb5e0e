/**
 * What a fleet costs its NATS server while nobody calls: first by the model, up to where it stops to scale; then by members and
 * callers of this process on a real nats-server, so that the model's counts can be believed and each message has a price.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { BallermannError } from '#src/errors.js';
import { Fleet } from '#src/nats/fleet-members.js';
import { FleetWindows } from '#src/nats/fleet-window.js';
import { followWindows } from '#src/nats/member-window.js';
import { announce, HEARTBEAT } from '#src/nats/presence.js';
import { LEASE } from '#src/nats/window-news.js';
import type { Balancer } from '#src/primary/pools/balancer.js';
import { options, progress } from '../command.js';
import { threeDigits } from '../figures.js';
import { machineLine } from '../machine.js';
import { table } from '../tables.js';
import { heartbeats, window } from './model.js';
import { Server } from './server.js';

const { quick, markdown } = options('bench:fleet');
const shape = { heartbeat: HEARTBEAT / 1_000, lease: LEASE / 1_000 };

console.log('On paper: messages a second of heartbeats, and messages of a window of 10 s');
const sizes = [3, 10, 50, 100, 200, 500, 1_000, 2_000];
const onPaper = sizes.flatMap((members) =>
  [...new Set([10, members])].map((callers) => {
    const beats = heartbeats({ members, callers, ...shape });
    const held = window({ members, callers, ...shape }, 10);
    return [members, callers, beats.in, beats.out, held.in, held.out].map((n) => n.toLocaleString('en-US'));
  }),
);
console.log(table(['machines', 'callers', 'in/s', 'out/s', 'window: in', 'window: out'], onPaper, markdown));

const measured = quick
  ? [{ members: 20, callers: 5 }]
  : [
      { members: 50, callers: 1 },
      { members: 50, callers: 50 },
      { members: 500, callers: 1 },
      { members: 500, callers: 20 },
      { members: 500, callers: 50 },
    ];
const rows: string[][] = [];
const measuredWindows: string[][] = [];
for (const { members, callers } of measured) rows.push(await measure(members, callers));
progress('');
console.log(
  `\nMeasured, ${machineLine()}, nats-server ${Server.version}; heartbeats alone, for ${seconds()} s each`,
);
const head = [
  'machines',
  'callers',
  'in/s',
  'paper',
  'out/s',
  'paper',
  'CPU of the server, %',
  'µs a message',
];
console.log(table(head, rows, markdown));
console.log('\nMeasured: a window whose function does nothing, and ms until all machines had acknowledged');
const headOfWindows = ['machines', 'callers', 'in', 'paper', 'out', 'paper', 'ms'];
console.log(table(headOfWindows, measuredWindows, markdown));

function seconds(): number {
  return quick ? 4 : 10;
}

/** A member without replicas, whose pool is idle whenever it is asked. */
async function join(nc: NatsConnection, id: string): Promise<void> {
  let paused = false;
  const state = () => ({
    ...{ alive: 8, original: 8, paused, unfinished: 0, host: 'machine-000.example.net', pid: 1_000 },
    serialization: 'json' as const,
  });
  const presence = await announce(nc, 'work', id, state);
  const tell = (isPaused: boolean): void => {
    paused = isPaused;
    presence.update(state());
  };
  const pool = {
    name: 'work',
    applyWithin: async (fn: () => Promise<void>) => {
      tell(true);
      await fn().finally(() => tell(false));
    },
  };
  await followWindows(nc, pool as unknown as Balancer, presence);
}

async function measure(members: number, callers: number): Promise<string[]> {
  progress(`${members} machines, ${callers} callers`);
  await using server = await Server.start();
  const connections: NatsConnection[] = [];
  const open = async (): Promise<NatsConnection> => {
    const nc = await connect({ servers: server.url });
    connections.push(nc);
    return nc;
  };
  // Spread over a heartbeat, as machines are that nobody starts at the same moment.
  for (let i = 0; i < members; i++) {
    await join(await open(), `member-${i}`);
    await sleep(HEARTBEAT / members);
  }
  const fleets: Fleet[] = [];
  for (let i = 0; i < callers; i++) fleets.push(new Fleet(await open(), 'work'));
  const windows = new FleetWindows(await open(), 'work', fleets[0] as Fleet);
  const seen = () => fleets.every((fleet) => fleet.members().length === members);
  for (let i = 0; !seen(); i++) {
    if (i > 1_000) throw new Error(`a caller sees ${fleets[0]?.members().length} of ${members} members`);
    await sleep(10);
  }
  const before = await server.look();
  await sleep(seconds() * 1_000);
  const after = await server.look();
  const begun = performance.now();
  const idle = await windows.applyWithin(() => performance.now() - begun);
  await sleep(1_000);
  const end = await server.look();
  if (!seen()) throw new Error('members have lapsed: this machine is too slow for so many');
  const rate = (key: 'in' | 'out' | 'cpu') => (after[key] - before[key]) / ((after.at - before.at) / 1_000);
  const paper = heartbeats({ members, callers, ...shape });
  const burst = (key: 'in' | 'out') => end[key] - after[key] - (rate(key) * (end.at - after.at)) / 1_000;
  const held = window({ members, callers, ...shape }, 0);
  measuredWindows.push(
    [members, callers, burst('in'), held.in, burst('out'), held.out, idle].map((n) => threeDigits(n)),
  );
  windows.close(new BallermannError('ERR_CLOSED', 'measured'));
  for (const nc of connections) await nc.close();
  return [
    ...[members, callers, rate('in'), paper.in, rate('out'), paper.out],
    rate('cpu') / 10,
    (rate('cpu') * 1_000) / (rate('in') + rate('out')),
  ].map((n) => threeDigits(n));
}
