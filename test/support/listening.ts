/** Talks to replicas of fixtures/listening.mjs, and connects to their servers. */

import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { call, type Supervisor, type SupervisorOptions } from 'ballermann';
import { pidAt, upPids } from './gate.js';
import { fixture, spread, start } from './helpers.js';

/** What came of a `listen` in a replica. */
export interface Listening {
  address: { address: string; port: number; family: string };
  /** Class of the server's handle. */
  kind: string;
  hasRef?: boolean;
  error?: { code: string; syscall: string; message: string };
}

export interface State {
  accepted: number;
  dropped: number;
  listening: boolean;
}

export const HOST = '127.0.0.1';

export function listeners(options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  return start({ exec: fixture('listening.mjs'), ...options });
}

/** Has a replica do something. */
export function ask<Answer = unknown>(pid: number, op: string, rest: object = {}): Promise<Answer> {
  return call(pid, { op, ...rest }) as Promise<Answer>;
}

/** Has every replica listen. */
export function listenAll(supervisor: Supervisor, options: object, rest: object = {}): Promise<Listening[]> {
  return Promise.all(upPids(supervisor).map((pid) => listenIn(pid, options, rest)));
}

export function listenIn(pid: number, options: object, rest: object = {}): Promise<Listening> {
  return ask<Listening>(pid, 'listen', { options: { host: HOST, ...options }, ...rest });
}

/** The port that all replicas listen on now. */
export async function portOfAll(supervisor: Supervisor, rest: object = {}): Promise<number> {
  const ports = (await listenAll(supervisor, { port: 0 }, rest)).map(({ address }) => address.port);
  if (new Set(ports).size !== 1) throw new Error(`different ports: ${ports.join(' ')}`);
  return ports[0] as number;
}

/** What the server says to the end of a connection. Rejects as the socket does, or after 20 s. */
export function answerOf(to: number | NetConnectOpts): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(typeof to === 'number' ? { port: to, host: HOST } : to);
    const timer = setTimeout(() => socket.destroy(new Error('no answer within 20 s')), 20_000);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (part) => {
      text += part;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

/**
 * Makes `count` connections, and as many again, until none of the replicas is ahead of another by more than `lead`; fails
 * after five times. One that a busy machine starves is passed over, and gets back what it missed: so that comes, while
 * without turns the difference only grows.
 */
export async function spreadEvenly(
  supervisor: Supervisor,
  port: number,
  { count, lead, together }: { count: number; lead: number; together?: number },
): Promise<void> {
  const counts = new Map(upPids(supervisor).map((pid) => [pid, 0]));
  for (let round = 0; round < 5; round++) {
    for (const pid of await answers(port, count, together)) counts.set(pid, (counts.get(pid) ?? 0) + 1);
    if (spread([...counts.values()]) <= lead) return;
  }
  throw new Error(`not spread evenly: ${[...counts.values()]}`);
}

/** The pids that answer `count` connections, `together` of them at a time. */
export async function answers(port: number, count: number, together = 16): Promise<number[]> {
  const pids: number[] = [];
  let begun = 0;
  const client = async (): Promise<void> => {
    while (begun++ < count) pids.push(Number(await answerOf(port)));
  };
  await Promise.all(Array.from({ length: together }, client));
  return pids;
}

/** The pids of the first two replicas that are up. */
export function twoPids(supervisor: Supervisor): [number, number] {
  const pids = upPids(supervisor);
  return [pidAt(pids, 0), pidAt(pids, 1)];
}

/** Connections that are open and wait, in the backlog or served. */
export async function opened(port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port, HOST));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  for (const socket of sockets) socket.on('error', () => {}); // where the test has failed before it reads
  return sockets;
}

/** The pid that a server says on that connection. */
export async function saidBy(socket: Socket): Promise<number> {
  let text = '';
  for await (const part of socket) text += part;
  return Number(text);
}
