/** How replicas start: every kind of script, what reaches it, what its failure means. */

import cluster, { type Address, type Worker } from 'node:cluster';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { balance, call, type Supervisor, type SupervisorOptions, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, killed, rejects, start, until } from '../support/helpers.js';
import { event, Folder, Forked, isAlive, later } from '../support/processes.js';

/** What start/report.* answer to 'start'. */
interface Report {
  file: string;
  args: string[];
  execArgv: string[];
  env: Record<string, string>;
  cwd: string;
  pid: number;
}

const report = fixture('start/report.mjs');
const reportCjs = fixture('start/report.cjs');
const topLevelAwait = fixture('start/top-level-await.mjs');

function pids(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ pid }) => pid as number);
}

function one(options: SupervisorOptions): Promise<Supervisor> {
  return supervise({ replicas: 1, ...options });
}

async function reportOf(supervisor: Supervisor): Promise<Report> {
  return call<Report>(pids(supervisor)[0] as number, 'start');
}

/** The variables that the test's own process does not have and that are not asked for. */
function unasked(env: Record<string, string>, asked: string[] = []): string[] {
  return Object.keys(env).filter((name) => !(name in process.env) && !asked.includes(name));
}

// Before any other test sets the cluster up.
test('the settings of the cluster are Node’s own after a start, when the application has set none', async () => {
  await using _supervisor = await start();
  const { exec, args, execArgv, silent, stdio, cwd, serialization } = cluster.settings;
  assert.equal(
    { exec, args, execArgv, silent, stdio, cwd, serialization },
    {
      exec: process.argv[1],
      args: process.argv.slice(2),
      execArgv: process.execArgv,
      silent: false,
      stdio: undefined,
      cwd: undefined,
      serialization: undefined,
    },
  );
});

for (const [what, exec] of [
  ['a path', fileURLToPath(report)],
  ['a relative path', relative(process.cwd(), fileURLToPath(report))],
  ['a file: string', report.href],
  ['a URL', report],
] as const) {
  test(`exec as ${what}`, async () => {
    await using supervisor = await one({ exec });
    assert.is((await reportOf(supervisor)).file, fileURLToPath(report));
    assert.is(supervisor.name, 'report.mjs');
  });
}

test('a relative exec is found from the primary’s folder, whatever cwd the replicas get', async () => {
  using folder = new Folder();
  const exec = relative(process.cwd(), fileURLToPath(report));
  await using supervisor = await one({ exec, cwd: folder.path });
  const { file, cwd } = await reportOf(supervisor);
  assert.is(file, fileURLToPath(report));
  assert.is(cwd, realpathSync(folder.path));
});

test('a path with spaces, percent signs and letters beyond ASCII', async () => {
  using folder = new Folder();
  const strange = folder.at('a folder %41 größer #1 ?');
  mkdirSync(strange);
  const script = folder.script(`${relative(folder.path, strange)}/listens.mjs`, listens);
  await using supervisor = await one({ exec: script });
  assert.is(supervisor.children()[0]?.state, 'up');
});

test('CommonJS by its extension', async () => {
  await using supervisor = await one({ exec: reportCjs });
  assert.is((await reportOf(supervisor)).file, fileURLToPath(reportCjs));
});

test('CommonJS by its package’s type', async () => {
  const exec = fixture('start/commonjs/report.js');
  await using supervisor = await one({ exec });
  assert.equal(await call(pids(supervisor)[0] as number, null), {
    file: fileURLToPath(exec),
    isCommonJs: true,
  });
});

test('ESM with top-level await is ready when it handles, not before', async () => {
  using folder = new Folder();
  using forked = new Forked();
  let isReady = false;
  const supervising = one({ exec: topLevelAwait, env: { GATE: folder.at('gate') } }).then((supervisor) => {
    isReady = true;
    return supervisor;
  });
  // Its own words come later than those of Node that it is online.
  await event(cluster, 'online');
  assert.is(isReady, false);
  folder.open('gate');
  await using supervisor = await supervising;
  assert.equal(pids(supervisor), forked.pids);
  assert.is((await call<{ message: string }>(pids(supervisor)[0] as number, 'hi')).message, 'hi');
});

test('nothing is lost that is sent before an ESM script with a slow top-level await has loaded', async () => {
  using folder = new Folder();
  await using supervisor = await one({
    exec: topLevelAwait,
    env: { GATE: folder.at('gate') },
    waitReady: false,
  });
  await using pool = await balance(supervisor, 'early');
  const count = 500;
  const early = later(
    Promise.all(Array.from({ length: count }, (_, i) => pool.call<{ message: number; count: number }>(i))),
  );
  const [target] = pids(supervisor) as [number];
  const late = later(call<{ count: number }>(target, 'last'));
  assert.is(pool.stats().replicas[0]?.unfinished, count + 1);
  folder.open('gate');
  const replies = await early;
  assert.equal(
    replies.map(({ message }) => message),
    Array.from({ length: count }, (_, i) => i),
  );
  assert.equal(
    replies.map(({ count }) => count),
    Array.from({ length: count }, (_, i) => i + 1),
    'handled in the order of sending',
  );
  assert.is((await late).count, count + 1);
});

const listens = `
import { createServer } from 'node:http';
createServer((request, response) => response.end('from ' + process.pid)).listen(0, '127.0.0.1');
`;
const listensCjs = listens.replace(/import (.*) from (.*);/, 'const $1 = require($2);');

for (const [name, text] of [
  ['server.mjs', listens],
  ['server.cjs', listensCjs],
] as const) {
  test(`an http server that knows nothing of ballermann is ready when it listens: ${name}`, async () => {
    using folder = new Folder();
    const listening = event<[Worker, Address]>(cluster, 'listening');
    await using supervisor = await supervise({ exec: folder.script(name, text), replicas: 2 });
    const [, { port }] = await listening;
    const answers = new Set<string>();
    await until(async () => {
      answers.add(
        await (await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } })).text(),
      );
      return answers.size === 2;
    }, 'answers of both replicas');
    assert.equal(
      [...answers].sort(),
      pids(supervisor)
        .map((pid) => `from ${pid}`)
        .sort(),
    );
  });
}

test('ready() for a script that neither handles nor listens', async () => {
  await using supervisor = await one({ exec: fixture('start/ready.mjs') });
  assert.is(supervisor.children()[0]?.state, 'up');
});

test('waitReady online, or false, takes a replica as ready when it is online', async () => {
  using folder = new Folder();
  const exec = folder.script('idle.mjs', 'setInterval(() => {}, 1_000);');
  for (const waitReady of ['online', false] as const) {
    await using supervisor = await one({ exec, waitReady });
    assert.is(supervisor.children()[0]?.state, 'up');
  }
});

test('args, execArgv, env and cwd arrive', async () => {
  using folder = new Folder();
  process.env['FROM_THE_PRIMARY'] = 'inherited';
  process.env['UNDONE'] = 'not wanted';
  try {
    await using supervisor = await one({
      exec: report,
      args: ['--flag', 'two words', ''],
      execArgv: ['--no-warnings', '--max-old-space-size=100'],
      env: { ADDED: 'yes', FROM_THE_PRIMARY: 'replaced', UNDONE: undefined },
      cwd: folder.path,
    });
    const { args, execArgv, env, cwd } = await reportOf(supervisor);
    assert.equal(args, ['--flag', 'two words', '']);
    assert.equal(execArgv.slice(-2), ['--no-warnings', '--max-old-space-size=100']);
    assert.is(env['ADDED'], 'yes');
    assert.is(env['FROM_THE_PRIMARY'], 'replaced');
    assert.is(env['UNDONE'], undefined);
    assert.is(cwd, realpathSync(folder.path));
  } finally {
    delete process.env['FROM_THE_PRIMARY'];
    delete process.env['UNDONE'];
  }
});

test('the script and its children see one variable of ours, the number of the replica', async () => {
  await using supervisor = await one({ exec: report, env: { ASKED: 'yes' } });
  const [target] = pids(supervisor) as [number];
  const { env } = await reportOf(supervisor);
  assert.is(env['ASKED'], 'yes');
  const asked = ['ASKED', 'BALLERMANN_INDEX'];
  assert.equal(unasked(env, asked), []);
  assert.equal(unasked(await call<typeof env>(target, 'env of a child'), asked), []);
});

test('a process that a replica forks is no replica', async () => {
  await using supervisor = await one({ exec: report });
  const { env, refused } = await call<{ env: Record<string, string>; refused: string }>(
    pids(supervisor)[0] as number,
    'a forked child',
  );
  assert.is(refused, 'ERR_WRONG_PROCESS');
  assert.equal(unasked(env, ['BALLERMANN_INDEX']), []);
});

test('serialization advanced carries Map, Date, Buffer and BigInt both ways', async () => {
  await using supervisor = await one({ exec: report, serialization: 'advanced' });
  const message = {
    map: new Map([['key', new Set([1])]]),
    date: new Date(0),
    buffer: Buffer.from('bytes'),
    big: 2n ** 70n,
    undefined: undefined,
  };
  const { echo } = await call<{ echo: typeof message }>(pids(supervisor)[0] as number, message);
  assert.equal(echo.map, message.map);
  assert.equal(echo.date, message.date);
  assert.equal([...echo.buffer], [...message.buffer]);
  assert.is(echo.big, message.big);
  assert.ok('undefined' in echo);
});

test('serialization json is the default, and refuses at once what JSON cannot hold', async () => {
  await using supervisor = await one({ exec: report });
  const [target] = pids(supervisor) as [number];
  assert.equal(await call(target, new Date(0)), { echo: '1970-01-01T00:00:00.000Z' });
  const refusal = await call(target, 1n).catch((error: unknown) => error);
  assert.instance(refusal, TypeError);
});

/** supervise() must fail with that, and leave nothing behind but a primary that goes on. */
async function mustFail(options: SupervisorOptions): Promise<Error & { exitCode?: number; signal?: string }> {
  using forked = new Forked();
  const before = Object.keys(cluster.workers ?? {}).length;
  const error = await rejects(
    supervise({ replicas: 3, startConcurrency: 3, ...options }),
    'ERR_START_FAILED',
  );
  assert.is(forked.pids.length, 3, 'no failed start is tried again');
  assert.equal(forked.pids.filter(isAlive), [], 'none is left running');
  // Node forgets a worker when its process has ended and its channel has closed, in whichever order.
  await until(() => Object.keys(cluster.workers ?? {}).length === before, 'node:cluster to forget them');
  await using supervisor = await one({ exec: report });
  assert.equal(await call(pids(supervisor)[0] as number, 'after'), { echo: 'after' });
  return error as Awaited<ReturnType<typeof mustFail>>;
}

for (const [what, name, text, causeName, causeMessage] of [
  ['throws', 'throws.mjs', "throw new RangeError('too short to live')", 'RangeError', /too short to live/],
  ['throws', 'throws.cjs', "throw new RangeError('too short to live')", 'RangeError', /too short to live/],
  [
    'throws after a top-level await',
    'late.mjs',
    "await new Promise(setImmediate); throw new RangeError('it was late')",
    'RangeError',
    /it was late/,
  ],
  ['throws what is no Error', 'text.mjs', "throw 'just text'", 'Error', /just text/],
  ['cannot be parsed', 'syntax.mjs', 'const = ;', 'SyntaxError', /token/],
  ['imports what is not there', 'missing.mjs', "import '../nowhere.mjs'", 'Error', /nowhere\.mjs/],
  [
    'leaves a rejection unhandled',
    'rejects.mjs',
    "Promise.reject(new TypeError('nobody caught me')); setInterval(() => {}, 1_000);",
    'TypeError',
    /nobody caught me/,
  ],
] as const) {
  test(`a script that ${what} while loading fails the start with what was thrown: ${name}`, async () => {
    using folder = new Folder();
    const error = await mustFail({ exec: folder.script(name, text) });
    const cause = error.cause as Error;
    assert.instance(cause, Error);
    assert.is(cause.name, causeName);
    assert.match(cause.message, causeMessage);
    assert.match(error.message, causeMessage);
    assert.match(error.message, name);
    assert.is(error.exitCode, 1);
  });
}

for (const code of [0, 3]) {
  test(`a script that exits at once with code ${code} fails the start`, async () => {
    using folder = new Folder();
    const error = await mustFail({ exec: folder.script('exits.mjs', `process.exit(${code});`) });
    assert.is(error.exitCode, code);
    assert.match(error.message, `exited with code ${code}`);
  });
}

test('a script that runs to its end without getting ready fails the start', async () => {
  using folder = new Folder();
  // The channel to the primary would keep it alive. With much to tear down, it closes well before the process ends.
  const text = `
    process.channel.unref();
    globalThis.much = Array.from({ length: 500_000 }, () => ({}));
    process.exitCode = 4;
  `;
  const error = await mustFail({ exec: folder.script('ends.cjs', text) });
  assert.is(error.exitCode, 4);
});

test('a script that never gets ready fails the start after readyTimeout', async () => {
  using folder = new Folder();
  const exec = folder.script('idle.mjs', 'setInterval(() => {}, 1_000);');
  const error = await mustFail({ exec, readyTimeout: 300 });
  assert.match(
    (error.cause as Error).message,
    /not ready within 300 ms \(readyTimeout\): .* neither handle\(\) nor ready\(\), and does not listen/,
  );
  assert.is(error.signal, 'SIGKILL');
});

test('a script that never gives its event loop back fails the start after readyTimeout', async () => {
  using folder = new Folder();
  const error = await mustFail({ exec: folder.script('busy.mjs', 'for (;;);'), readyTimeout: 300 });
  assert.match((error.cause as Error).message, /readyTimeout/);
});

test('one failure among replicas that are fine or still start ends them all', async () => {
  using folder = new Folder();
  // Makes the first to come throw, the second get ready, and the third go on loading for ever.
  const exec = folder.script(
    'mixed.mjs',
    `
    import { openSync } from 'node:fs';
    import { createServer } from 'node:http';
    const won = (file) => {
      try {
        return openSync(new URL(file, import.meta.url), 'wx');
      } catch {}
    };
    if (won('first')) await new Promise((resolve) => createServer().listen(0, '127.0.0.1', resolve));
    else if (won('second')) await new Promise(() => setInterval(() => {}, 1_000));
    else throw new Error('the third');
    `,
  );
  const error = await mustFail({ exec });
  assert.is((error.cause as Error).message, 'the third');
});

test('a node option that node does not know fails the start', async () => {
  const error = await mustFail({ exec: report, execArgv: ['--no-such-option'] });
  assert.is(error.exitCode, 9);
});

test('what the primary sends as soon as a replica is online finds the listeners of its script', async () => {
  const answers: unknown[] = [];
  const greet = (worker: Worker) => {
    worker.on('message', (answer) => answers.push(answer));
    worker.send('welcome');
  };
  cluster.on('online', greet);
  try {
    await using _supervisor = await supervise({
      exec: fixture('start/answering.cjs'),
      replicas: 2,
      waitReady: false,
    });
    await until(() => answers.length === 2, 'both to answer');
    assert.equal(answers, [{ answered: 'welcome' }, { answered: 'welcome' }]);
  } finally {
    cluster.off('online', greet);
  }
});

test('supervisors that start at the same time never mix, nor does the application’s own cluster.fork()', async () => {
  using folder = new Folder();
  const own = {
    exec: fileURLToPath(fixture('start/plain-worker.cjs')),
    args: ['own', 'args'],
    execArgv: ['--no-deprecation'],
    serialization: 'advanced' as const,
    cwd: folder.path,
  };
  cluster.setupPrimary(own);
  const settings = { ...cluster.settings };
  const plans = [
    { exec: report, args: ['a'], env: { WHO: 'a' }, execArgv: ['--no-warnings'], serialization: 'json' },
    { exec: reportCjs, args: ['b', 'b'], env: { WHO: 'b', MORE: '1' }, serialization: 'advanced' },
    { exec: report, args: [], env: { WHO: 'c' }, cwd: folder.path, serialization: 'advanced' },
    { exec: report, cwd: fileURLToPath(new URL('.', report)), env: {}, execArgv: ['--stack-size=900'] },
  ] satisfies SupervisorOptions[];

  const starting: Promise<Supervisor>[] = [];
  const plain: ReturnType<typeof forkPlain>[] = [];
  for (const plan of plans) {
    starting.push(supervise({ replicas: 2, ...plan }));
    plain.push(forkPlain());
  }
  const supervisors = await Promise.all(starting);
  try {
    plain.push(forkPlain());
    assert.equal(cluster.settings, settings, 'the application’s own settings are as it left them');
    await Promise.all(supervisors.map((supervisor, i) => check(supervisor, plans[i] as SupervisorOptions)));
    // Restarts fork again, long after: they too in the midst of the application's own.
    await Promise.all(
      supervisors.map(async (supervisor) => {
        const restarted = later(event(supervisor, 'up'));
        await killed(supervisor, pids(supervisor)[0] as number);
        plain.push(forkPlain());
        await restarted;
      }),
    );
    await Promise.all(supervisors.map((supervisor, i) => check(supervisor, plans[i] as SupervisorOptions)));
    for (const worker of await Promise.all(plain)) {
      assert.equal(worker.args, own.args);
      assert.equal(worker.execArgv, own.execArgv);
      assert.equal(worker.map, new Map([['key', 1n]]), 'serialized as the application wants it');
      assert.equal(worker.back, new Map([[1, new Date(1)]]));
      assert.is(worker.cwd, realpathSync(folder.path));
      assert.equal(unasked(worker.env, ['OWN']), []);
      assert.is(worker.env['OWN'], 'yes');
    }
  } finally {
    await Promise.all(supervisors.map((supervisor) => supervisor.close()));
  }

  async function check(supervisor: Supervisor, plan: SupervisorOptions): Promise<void> {
    for (const pid of pids(supervisor)) {
      const { file, args, execArgv, env, cwd, pid: self } = await call<Report>(pid, 'start');
      assert.is(self, pid);
      assert.is(file, fileURLToPath(plan.exec));
      assert.equal(args, plan.args ?? []);
      assert.equal(execArgv, plan.execArgv ?? process.execArgv, 'none of ours is left');
      assert.equal(unasked(env, [...Object.keys(plan.env ?? {}), 'BALLERMANN_INDEX']), []);
      assert.is(env['WHO'], plan.env?.['WHO']);
      assert.is(cwd, realpathSync(plan.cwd ?? process.cwd()));
      const sent = { date: new Date(0) };
      const { echo } = await call<{ echo: { date: unknown } }>(pid, sent);
      assert.equal(echo.date, plan.serialization === 'advanced' ? sent.date : sent.date.toISOString());
    }
  }

  interface PlainWorker extends Omit<Report, 'file' | 'pid'> {
    map: unknown;
    back: unknown;
  }

  async function forkPlain(): Promise<PlainWorker> {
    const worker = cluster.fork({ OWN: 'yes' });
    const exit = later(event(worker, 'exit'));
    const [report] = await event<[PlainWorker]>(worker, 'message');
    worker.send(new Map([[1, new Date(1)]]));
    const [{ back }] = await event<[PlainWorker]>(worker, 'message');
    await exit;
    return { ...report, back };
  }
});

test('what replicas write goes where the primary’s own output goes', async () => {
  using folder = new Folder();
  const { openSync, closeSync } = await import('node:fs');
  const { spawn } = await import('node:child_process');
  const output = openSync(folder.at('output'), 'w');
  const script = folder.script(
    'main.mjs',
    `
    import { supervise } from ${JSON.stringify(import.meta.resolve('ballermann'))};
    const supervisor = await supervise({ exec: process.argv[2], replicas: 1 });
    await supervisor.close();
    `,
  );
  const exec = folder.script(
    'writes.mjs',
    `${listens} console.log('to stdout'); console.error('to stderr');`,
  );
  const child = spawn(process.execPath, [script, exec], { stdio: ['ignore', output, output] });
  closeSync(output);
  const [code] = await event<[number]>(child, 'exit');
  assert.is(code, 0);
  const written = readFileSync(folder.at('output'), 'utf8').split('\n');
  assert.ok(written.includes('to stdout'), `${written}`);
  assert.ok(written.includes('to stderr'), `${written}`);
});

test.run();
