/** A coordinator or a member that is cut off from the server, and does not know it or comes back too soon: nothing runs in a window. */

import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import type { Member } from 'ballermann/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deferred } from '#src/deferred.js';
import { keySubject } from '#src/nats/buckets.js';
import { FleetCalls } from '#src/nats/fleet-call.js';
import { MEMBERS, memberKey } from '#src/nats/keys.js';
import { askSubject, callSubject } from '#src/nats/subjects.js';
import { Cable } from '../support/cable.js';
import { bedOf, Caller, Machine } from '../support/fleet.js';
import { rejects, until } from '../support/helpers.js';
import { isMissing } from '../support/nats.js';
import { later } from '../support/processes.js';

const it = suite('cut off');
const test = isMissing ? it.skip : it;
const bed = bedOf(it);

/** Its messages do not arrive any more, as if a route between servers were broken. */
function unhear(nc: NatsConnection, subject: string): void {
  const { subscriptions } = (nc as unknown as { protocol: { subscriptions: { all(): Subscription[] } } })
    .protocol;
  const found = subscriptions.all().filter((subscription) => subscription.getSubject() === subject);
  assert.ok(found.length > 0);
  for (const subscription of found) subscription.unsubscribe();
}

test('a coordinator that has missed the heartbeats of members that work waits for them', async () => {
  await using machine = await Machine.start(bed.server, bed.supervisor, 'missed');
  await using caller = await Caller.start(bed.server, 'missed', 8_000);
  await until(() => caller.fleet.members().length === 1, 'the member');
  const ending = new AbortController();
  const work = later(machine.balancer.call({ op: 'hang' }, { signal: ending.signal, timeout: 60_000 }));
  let ran = false;
  const window = caller.windows.applyWithin(() => {
    ran = true;
  });
  await until(() => machine.isPaused, 'the window to be open at the machine');
  await caller.fleet.list(); // so the coordinator has, too, and waits for the acknowledgement
  unhear(caller.nc, keySubject(MEMBERS, memberKey('missed', '*')));
  let lapses = 0;
  caller.fleet.onGone(() => {
    lapses++;
  });
  await until(() => lapses > 0, 'the member to lapse at the coordinator');
  await until(() => caller.fleet.members().length === 1, 'the member to be found in the bucket');
  assert.not.ok(ran, 'the member works');
  ending.abort(new Error('enough'));
  assert.is(await work.catch((error: Error) => error.message), 'enough');
  await window;
  assert.ok(ran);
});

test('a caller that hears nothing lets nobody lapse: its calls wait for their answers', async () => {
  await using cable = await Cable.to(bed.server.port);
  await using machine = await Machine.start(bed.server, bed.supervisor, 'quiet');
  await using caller = await Caller.start(cable, 'quiet');
  await until(() => caller.fleet.members().length === 1, 'the member');
  const calls = new FleetCalls(caller.nc, 'quiet', caller.fleet);
  let taken = 0;
  const subject = callSubject('quiet');
  machine.nc.subscribe(subject, {
    callback: (_, message) => {
      taken++;
      message.respond('"done"');
    },
  });
  // What it has taken is answered: of the calls that it is asked for it has none.
  const [{ id }] = caller.fleet.members() as [Member];
  machine.nc.subscribe(askSubject('quiet', id), { callback: (_, message) => void message.respond('[]') });
  await machine.nc.flush();
  const silent = performance.now();
  cable.silence();
  let settled = false;
  const options = { timeout: 60_000, signal: undefined };
  const answers = [true, false].map((idempotent) => calls.call(1, { ...options, idempotent }, undefined));
  void Promise.race(answers).catch(() => {
    settled = true;
  });
  // Three heartbeats are missing long since, and the calls are old enough to be looked for.
  await until(() => performance.now() > silent + 3_000, '3 s of silence');
  assert.not.ok(settled);
  assert.is(caller.fleet.members().length, 1);
  cable.resume();
  assert.equal(await Promise.all(answers), ['done', 'done']);
  assert.is(taken, 2, 'neither was sent twice');
});

test('a coordinator that hears nothing does not begin', async () => {
  await using cable = await Cable.to(bed.server.port);
  await using machine = await Machine.start(bed.server, bed.supervisor, 'silent');
  await using caller = await Caller.start(cable, 'silent', 2_000);
  await until(() => caller.fleet.members().length === 1, 'the member');
  const ending = new AbortController();
  const work = later(machine.balancer.call({ op: 'hang' }, { signal: ending.signal, timeout: 60_000 }));
  let ran = false;
  const window = later(
    caller.windows.applyWithin(() => {
      ran = true;
    }),
  );
  await until(() => machine.isPaused, 'the window to be open at the machine');
  await caller.fleet.list(); // so the coordinator has, too, and waits for the acknowledgement
  cable.silence();
  await rejects(window, { code: 'ERR_DISCONNECTED', message: /lease .* was lost/ });
  assert.not.ok(ran);
  ending.abort(new Error('enough'));
  assert.is(await work.catch((error: Error) => error.message), 'enough');
});

test('a member whose window has ended by its own clock begins no call before it has read the key', async () => {
  await using cable = await Cable.to(bed.server.port);
  await using caller = await Caller.start(bed.server, 'back', 1_000);
  await using machine = await Machine.start(cable, bed.supervisor, 'back', { heartbeat: 20_000 });
  const opened = deferred();
  const ended = deferred();
  const window = caller.windows.applyWithin(() => {
    opened.resolve();
    return ended.promise;
  });
  await opened.promise;
  cable.cut();
  await until(() => !machine.isPaused, 'the lease to lapse at the machine');
  assert.ok(machine.presence.isCurrent, 'it does not count itself as gone');
  assert.ok(machine.follower.isOpen, 'the window may go on, and it does');
  cable.mend();
  await until(() => machine.isPaused, 'the machine to read the key');
  ended.resolve();
  await window;
  await until(() => !machine.isPaused && !machine.follower.isOpen, 'the end of the window');
});

it.run();
