import assert from 'node:assert/strict';
import { applyWithin, type Balancer, balance, call, pid, ping, type Supervisor, supervise } from 'ballermann';
import type { answer as handler } from './replica.mjs';

const exec = process.argv[2];
assert.ok(exec !== undefined);
const supervisor: Supervisor = await supervise({ exec, replicas: 2 });
const pool: Balancer<typeof handler> = await balance<typeof handler>(supervisor, 'work', 0.9);

const handedOut: number[] = Array.from({ length: 6 }, () => pid('work'));
assert.equal(new Set(handedOut).size, 2, 'two replicas take turns');
assert.deepEqual(handedOut.slice(2), handedOut.slice(0, 4), 'always in the same order');

const answer = await call<typeof handler>('work', [2, 3]);
const sum: number = answer.sum;
assert.equal(sum, 5);
assert.equal((await pool.call([4, 5])).sum, 9);
// @ts-expect-error: the handler takes two numbers
pool.call('text').catch(() => {});
assert.ok(handedOut.includes(answer.pid));
assert.ok(pool.pids().includes(answer.pid));

const pinged: number[] = [];
const cleaned: string = await applyWithin(
  'work',
  () => 'cleaned',
  (replica: number) => {
    pinged.push(replica);
    return ping(replica);
  },
);
assert.equal(cleaned, 'cleaned');
assert.deepEqual(new Set(pinged), new Set(handedOut));

await supervisor.close();
console.log('all answers right');
