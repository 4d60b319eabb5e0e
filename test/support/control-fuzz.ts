/** Badly behaved clients of a control socket, by a seed. */

import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { Random } from '../storm/random.js';

/** None of them changes anything that a test would miss; mutations of them hardly do. */
const REQUESTS = [
  { protocol: 1, verb: 'status' },
  { protocol: 1, verb: 'window', pool: 'pool', wait: 50, timeout: 20 },
  { protocol: 1, verb: 'window', pool: 'pool', wait: 1e9, timeout: -1 },
  { protocol: 1, verb: 'window', pool: 'none' },
  { protocol: 1, verb: 'close' },
  { protocol: 1, verb: 'resize', replicas: 1e9 },
  { protocol: 1, verb: 'resize', by: -1e9 },
  { protocol: 1, verb: 'resize', replicas: 0.5, by: 'x' },
  { protocol: 1, verb: 'reload', maxUnavailable: 0 },
  { protocol: 99, verb: 'stop' },
  { verb: 'stop' },
  [{ protocol: 1, verb: 'stop' }],
].map((request) => Buffer.from(`${JSON.stringify(request)}\n`));

export interface FuzzOptions {
  readonly connections: number;
  readonly seed: number;
  /** Called now and then. */
  readonly check?: () => Promise<void>;
}

/** Resolves when all connections are over. Fails where an answer is none. */
export async function fuzz(path: string, { connections, seed, check }: FuzzOptions): Promise<void> {
  let begun = 0;
  const client = async (): Promise<void> => {
    while (begun < connections) {
      const number = begun++;
      await misbehave(path, new Random(seed, `connection ${number}`));
      if (number % 500 === 499) await check?.();
    }
  };
  await Promise.all(Array.from({ length: 50 }, client));
}

async function misbehave(path: string, random: Random): Promise<void> {
  const socket = connect({ path, allowHalfOpen: random.below(2) === 0 });
  let answers = '';
  socket.on('data', (part) => {
    answers += part;
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  for (let left = random.between(0, 4); left > 0 && socket.writable; left--) {
    await write(socket, piece(random), random);
  }
  const end = random.below(4);
  if (end === 0) socket.destroy();
  else socket.end();
  const timer = setTimeout(() => socket.destroy(), random.between(0, 100)); // a window may be open that nobody closes
  await closed;
  clearTimeout(timer);
  for (const line of answers.split('\n').slice(0, -1)) {
    const answer = JSON.parse(line);
    const keys = Object.keys(answer);
    assert.ok(
      'result' in answer || 'event' in answer || typeof answer.error.message === 'string',
      keys.join(),
    );
    if (answer.result?.exits !== undefined) throw new Error('it was stopped');
  }
}

function piece(random: Random): Buffer {
  switch (random.below(6)) {
    case 0:
      return bytes(random, random.between(0, 300));
    case 1:
      return Buffer.alloc(random.between(8_000, 100_000), random.below(2) === 0 ? '{' : '\n');
    case 2:
      return Buffer.concat(Array.from({ length: random.between(2, 20) }, () => request(random)));
    case 3:
      return mutated(random);
    case 4:
      return request(random).subarray(0, random.between(0, 60));
    default:
      return request(random);
  }
}

function request(random: Random): Buffer {
  return REQUESTS[random.below(REQUESTS.length)] as Buffer;
}

/** A few bytes of it are others, or gone, or there twice. */
function mutated(random: Random): Buffer {
  let bytesOf = [...request(random)];
  for (let left = random.between(1, 4); left > 0; left--) {
    const at = random.below(bytesOf.length);
    const how = random.below(3);
    if (how === 0) bytesOf[at] = random.below(256);
    else if (how === 1) bytesOf.splice(at, random.between(1, 8));
    else bytesOf = [...bytesOf.slice(0, at), ...bytesOf.slice(random.below(at + 1))];
    if (bytesOf.length === 0) break;
  }
  return Buffer.from(bytesOf);
}

function bytes(random: Random, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, () => random.below(256)));
}

/** In parts, of which each may come in a turn of its own. */
async function write(socket: Socket, all: Buffer, random: Random): Promise<void> {
  const size = random.below(2) === 0 ? all.length : random.between(1, 64);
  for (let at = 0; at < Math.min(all.length, 40 * size) && socket.writable; at += size) {
    socket.write(all.subarray(at, at + size));
    if (random.below(4) === 0) await turn();
  }
}
