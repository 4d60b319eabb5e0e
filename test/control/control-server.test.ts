/** The control socket of a supervisor: what it does when it is asked to, and what it bears. */

import { once } from 'node:events';
import { connect } from 'node:net';
import { type Balancer, balance, pid, type Supervisor } from 'ballermann';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Status } from '#src/control/protocol.js';
import { ControlServer } from '#src/control/server.js';
import { RawControl, RuntimeFolder } from '../support/control.js';
import { fuzz } from '../support/control-fuzz.js';
import { next, rejects, start, throws, until } from '../support/helpers.js';

const test = suite('', undefined);

let folder: RuntimeFolder;
let supervisor: Supervisor;
let pool: Balancer;

test.before(async () => {
  folder = new RuntimeFolder();
  supervisor = await start({ control: true, name: 'web', replicas: 1 });
  pool = await balance(supervisor, 'pool');
});

test.after(async () => {
  await supervisor.close();
  folder[Symbol.dispose]();
});

const client = (): RawControl => new RawControl(folder.socket('web'));

/** Calls reach the replica, and no window is open. */
async function isWell(): Promise<void> {
  await until(() => !pool.stats().paused, 'the pool to be open');
  assert.equal(
    await pool.call({ op: 'handled' }, { timeout: 10_000 }).then((count) => typeof count),
    'number',
  );
}

test('status: the metrics, and what the process is', async () => {
  using control = client();
  control.ask({ verb: 'status' });
  const status = (await control.answer()).result as Status;
  assert.is(status.pid, process.pid);
  assert.match(status.version, /^\d+\.\d+\.\d+/);
  assert.match(status.script, /echo\.mjs$/);
  assert.equal(
    Object.keys(supervisor.metrics()).filter((key) => !(key in status)),
    [],
  );
  assert.is(status.pools[0]?.name, 'pool');
});

test('requests of one connection run one after another; one too early is refused, and the reload goes on', async () => {
  using control = client();
  for (let i = 1; i <= 3; i++) {
    control.ask({ verb: 'status' });
    assert.ok((await control.answer(i)).result);
  }
  const reloaded = next(supervisor, 'reloaded');
  control.ask({ verb: 'reload' });
  control.ask({ verb: 'status' });
  const { error } = await control.answer(4);
  assert.match(error?.message as string, /'status' has to wait for the answer to 'reload'/);
  await control.ended();
  await reloaded;
});

test('reload tells its progress, and a failed one its cause', async () => {
  using control = client();
  control.ask({ verb: 'reload' });
  assert.equal(await control.answer(1), { event: 'progress', done: 1, of: 1 });
  assert.equal(await control.answer(2), { result: null });
  control.ask({ verb: 'reload', maxUnavailable: 0 });
  assert.is((await control.answer(3)).error?.code, 'ERR_OUT_OF_RANGE');
  control.ask({ verb: 'status' });
  assert.ok((await control.answer(4)).result, 'the connection goes on');
});

test('resize by a number counts from what the resize before it leaves', async () => {
  using reloading = client();
  using one = client();
  using other = client();
  reloading.ask({ verb: 'reload' });
  await until(() => supervisor.metrics().reloads.running, 'a reload that both wait for');
  one.ask({ verb: 'resize', by: 1 });
  other.ask({ verb: 'resize', by: 1 });
  assert.equal((await one.answer()).result, { from: 1, to: 2 });
  assert.equal((await other.answer()).result, { from: 2, to: 3 });
  one.ask({ verb: 'resize', replicas: 1 });
  assert.equal((await one.answer(2)).result, { from: 3, to: 1 });
  one.ask({ verb: 'resize', by: -1 });
  assert.match(
    (await one.answer(3)).error?.message as string,
    /replicas must be an integer from 1 to \d+; got 0/,
  );
  assert.is(supervisor.children().length, 1);
});

test('a window is open from the event on, until it is closed; then its request has the answer', async () => {
  using control = client();
  control.ask({ verb: 'window', pool: 'pool' });
  assert.equal(await control.answer(1), { event: 'open' });
  throws(() => pid('pool'), 'ERR_PAUSED');
  control.ask({ verb: 'close' });
  assert.type(((await control.answer(2)).result as { open: number }).open, 'number');
  assert.type(pid('pool'), 'number');
});

const ends: [string, (control: RawControl) => void][] = [
  ['the connection is reset', ({ socket }) => socket.destroy()],
  ['the client has nothing more to say', ({ socket }) => socket.end()],
  ['the client says what makes no sense', ({ socket }) => socket.write('what?\n')],
  ['the client asks for something else', (control) => control.ask({ verb: 'status' })],
];
for (const [what, end] of ends) {
  test(`a window ends when ${what}`, async () => {
    using control = client();
    control.ask({ verb: 'window', pool: 'pool' });
    await control.answer();
    end(control);
    await isWell();
  });
}

test('a window ends when its client is gone before it has read that it is open', async () => {
  const socket = connect(folder.socket('web')).pause();
  socket.on('error', () => {});
  socket.write('{"protocol":1,"verb":"window","pool":"pool"}\n');
  await until(() => pool.stats().paused, 'the window');
  socket.destroy();
  await isWell();
});

test('a window that is not open yet is given up when its client goes, or closes it', async () => {
  let resume!: () => void;
  const busy = new Promise<void>((resolve) => {
    resume = resolve;
  });
  const before = pool.applyWithin(() => busy);
  {
    using gone = client();
    gone.ask({ verb: 'window', pool: 'pool' });
    using closing = client();
    closing.ask({ verb: 'window', pool: 'pool' });
    closing.ask({ verb: 'close' });
    assert.match((await closing.answer()).error?.message as string, /closed before it was open/);
  }
  resume();
  await before;
  await isWell();
  assert.is(supervisor.metrics().pools[0]?.windows.open, false);
});

test('a window has a time limit, and a replica that is not idle in time keeps it from opening', async () => {
  using control = client();
  control.ask({ verb: 'window', pool: 'pool', timeout: 50 });
  assert.equal(await control.answer(1), { event: 'open' });
  assert.is((await control.answer(2)).error?.code, 'ERR_TIMEOUT');
  await isWell();
  const slow = pool.call({ op: 'sleep', ms: 300 });
  control.ask({ verb: 'window', pool: 'pool', wait: 20 });
  assert.is((await control.answer(3)).error?.code, 'ERR_TIMEOUT');
  await slow;
  await isWell();
});

test('a pool that is not there, or is another supervisor’s, cannot be paused', async () => {
  await using other = await start({ replicas: 1 });
  await balance(other, 'not yours');
  using control = client();
  for (const [i, name] of ['nobody', 'not yours'].entries()) {
    control.ask({ verb: 'window', pool: name });
    const { error } = await control.answer(i + 1);
    assert.is(error?.code, 'ERR_NO_SUCH_POOL');
    assert.match(error?.message as string, /its pools are "pool"/);
  }
  assert.is(supervisor.metrics().pools[0]?.windows.open, false);
});

test('a client that only writes and then waits, as `nc -N` does, gets its answer', async () => {
  using control = client();
  control.ask({ verb: 'reload' });
  control.socket.end();
  assert.equal(await control.answer(2), { result: null });
  await control.ended();
});

test('a line that is too long, or that never ends, gets an error and the end', async () => {
  using long = client();
  long.socket.write('x'.repeat(100_000));
  assert.match((await long.answer()).error?.message as string, /a line is longer than 8192 bytes/);
  await long.ended();
  using half = client();
  half.socket.end('{"protocol":1,"verb":"stop"}');
  assert.match((await half.answer()).error?.message as string, /ended within a line/);
  await half.ended();
  await isWell();
});

test('there are 64 connections at most; one more is told so, and finds room when one has gone', async () => {
  const held = Array.from({ length: 64 }, client);
  await Promise.all(held.map(({ socket }) => once(socket, 'connect')));
  using refused = client();
  assert.is((await refused.answer()).error?.code, 'ERR_OVERLOAD');
  await refused.ended();
  held[0]?.socket.destroy();
  await until(async () => {
    using again = client();
    again.ask({ verb: 'status' });
    return (await again.answer()).result;
  }, 'room for another one');
  for (const { socket } of held) socket.destroy();
  await until(async () => {
    const sockets = Array.from({ length: 10 }, client);
    for (const control of sockets) control.ask({ verb: 'status' });
    const answers = await Promise.all(sockets.map((control) => control.answer()));
    for (const control of sockets) control[Symbol.dispose]();
    return answers.every(({ result }) => result);
  }, 'room for ten');
});

test('a client that asks on and never reads is hung up on', async () => {
  let performed = 0;
  const server = await ControlServer.open('large');
  server.serve({
    perform: async () => {
      performed++;
      return 'x'.repeat(3 * 2 ** 20);
    },
  });
  const socket = connect(folder.socket('large')).pause();
  socket.on('error', () => {});
  for (let i = 1; i <= 3; i++) {
    socket.write(`${JSON.stringify({ protocol: 1, verb: 'status' })}\n`);
    await until(() => performed === i, 'the answer');
  }
  let received = 0;
  socket.on('data', ({ length }) => {
    received += length;
  });
  socket.resume();
  await until(() => socket.destroyed, 'the end of the connection', 5_000);
  assert.ok(received < 9 * 2 ** 20, `${received} bytes`);
  server.close(new Error('closed by the test'));
});

test('random bytes, cut and mutated requests, half-closed and reset connections: the primary serves on', async () => {
  await fuzz(folder.socket('web'), { connections: 300, seed: 17 });
  await isWell();
  using control = client();
  control.ask({ verb: 'status' });
  assert.is(((await control.answer()).result as Status).malformed, 0);
  assert.is(supervisor.children().length >= 1, true);
});

test('close() of the supervisor ends connections and windows; the name is free at once', async () => {
  const own = await start({ control: true, name: 'brief', replicas: 1 });
  await balance(own, 'brief');
  using idle = new RawControl(folder.socket('brief'));
  using window = new RawControl(folder.socket('brief'));
  window.ask({ verb: 'window', pool: 'brief' });
  await window.answer();
  await own.close();
  const again = await start({ control: true, name: 'brief', replicas: 1 });
  assert.is((await window.answer(2)).error?.code, 'ERR_CLOSED');
  await Promise.all([idle.ended(), window.ended()]);
  await again.close();
  await rejects(again.resize(2), 'ERR_CLOSED');
});

test('stop, where the application deals with signals itself: the supervisor closes, the process goes on', async () => {
  await using own = await start({ control: true, name: 'kept', replicas: 1, signals: false });
  using control = new RawControl(folder.socket('kept'));
  control.ask({ verb: 'stop' });
  assert.equal((await control.answer()).result, { killed: false, exits: false });
  assert.equal(own.children(), []);
  await control.ended();
});

test.run();
