/** Slots that are given to new processes while a taker stands still, at any point of a hand-out. Linux's /proc says when. */

import { hrtime } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { balance, call, type UpEvent } from 'ballermann';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { replicaOf } from '#src/primary/replicas/registry.js';
import { ownSegment } from '#src/primary/replicas/slots.js';
import { stopped } from '../support/failing.js';
import { downOf, fixture, next, start, until } from '../support/helpers.js';
import { rounds } from '../support/rounds.js';

const test = suite('', undefined);
const linux = process.platform === 'linux' ? test : test.skip;

interface HandOuts {
  /** Of whole rotations, by the addon: the slot comes with the pid. */
  claims: { pid: number; slot: number; began: string }[];
  /** By `pid()`. */
  pids: { pid: number; began: string }[];
  /** What else claims were answered with. */
  refusals: number[];
}

linux(
  'a taker that is stopped at any moment, while others die and new ones get their slots, hands out no dead pid',
  async () => {
    await using supervisor = await start({
      exec: fixture('preempted.mjs'),
      replicas: 4,
      intensity: 10_000,
      backoff: { initial: 1, max: 1 },
    });
    await using pool = await balance(supervisor, 'preempted', 1);
    const slots = new Map(pool.pids().map((pid) => [pid, replicaOf(pid).slot]));
    const told = new Map<number, bigint>(); // when the deaths were
    supervisor.prependListener('up', ({ pid }) => slots.set(pid, replicaOf(pid).slot));
    supervisor.prependListener('down', ({ pid }) => told.set(pid, hrtime.bigint()));

    const [taker] = pool.pids() as [number];
    const { addon } = ownSegment().segment;
    const ring = addon.findRing('preempted') as number;
    const handsOut = async (): Promise<void> => {
      const ticket = addon.ticket(ring);
      await until(() => addon.ticket(ring) !== ticket, 'the taker to hand out');
    };
    await call(taker, { op: 'begin', pool: 'preempted' });
    for (let round = 0; round < rounds(6); round++) {
      await handsOut();
      await sleep(Math.random() * 3);
      await stopped(taker);
      try {
        const [victim] = pool.pids().filter((pid) => pid !== taker) as [number];
        const up = next<[UpEvent]>(supervisor, 'up');
        const down = downOf(supervisor, victim);
        process.kill(victim, 'SIGKILL');
        await down;
        // Now the slot is nobody's. In every other round it is the next one's as the taker goes on.
        if (round % 2 === 0) await up;
      } finally {
        process.kill(taker, 'SIGCONT');
      }
      await until(() => pool.pids().length === 4, 'the next one to be in rotation');
    }
    await handsOut();
    const { claims, pids, refusals } = await call<HandOuts>(taker, { op: 'end' });

    assert.equal(refusals, []);
    for (const { pid, began } of [...claims, ...pids]) {
      const death = told.get(pid);
      assert.ok(slots.has(pid), `${pid} was never a replica`);
      assert.ok(death === undefined || BigInt(began) < death, `${pid} was handed out after its death`);
    }
    for (const { pid, slot } of claims) assert.is(slot, slots.get(pid), `the slot of ${pid}`);
    const seen = new Set(claims.map(({ pid }) => pid));
    assert.ok(
      [...told.keys(), ...pool.pids()].every((pid) => seen.has(pid)),
      'each was handed out while it lived',
    );
  },
);

test.run();
