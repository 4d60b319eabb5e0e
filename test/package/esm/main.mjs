import assert from 'node:assert/strict';
import { applyWithin, balance, call, pid, ping, supervise } from 'ballermann';

const supervisor = await supervise({ exec: process.argv[2], replicas: 2 });
await balance(supervisor, 'work');

const handedOut = Array.from({ length: 6 }, () => pid('work'));
assert.equal(new Set(handedOut).size, 2, 'two replicas take turns');
assert.deepEqual(handedOut.slice(2), handedOut.slice(0, 4), 'always in the same order');

const answer = await call('work', [2, 3]);
assert.equal(answer.sum, 5);
assert.ok(handedOut.includes(answer.pid));
assert.deepEqual(await call(handedOut[1], [4, 5]), { sum: 9, pid: handedOut[1] });

const pinged = [];
const cleaned = await applyWithin(
  'work',
  () => 'cleaned',
  (replica) => {
    pinged.push(replica);
    return ping(replica);
  },
);
assert.equal(cleaned, 'cleaned');
assert.deepEqual(new Set(pinged), new Set(handedOut));

await supervisor.close();
console.log('all answers right');
