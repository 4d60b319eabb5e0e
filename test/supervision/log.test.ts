/** What a supervisor says of itself: a line for what went wrong, nothing in an orderly life, and never a flood. */

import { balance, call, cast, type Logger, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Log } from '#src/primary/supervision/log.js';
import { killed, rejects, start, until } from '../support/helpers.js';
import { Folder, lifecycle } from '../support/processes.js';

type Entry = { level: keyof Logger; fields: Record<string, unknown>; text: string };

/** A logger that keeps what it is given. */
function logbook(): { entries: Entry[]; log: Logger; of(event: string): Entry[] } {
  const entries: Entry[] = [];
  const keep = (level: keyof Logger) => (fields: object, text: string) =>
    entries.push({ level, fields: fields as Entry['fields'], text });
  const log = { info: keep('info'), warn: keep('warn'), error: keep('error') };
  return { entries, log, of: (event) => entries.filter(({ fields }) => fields['event'] === event) };
}

/** What the process writes to stderr while `work` runs. */
async function stderrOf(work: () => unknown): Promise<string> {
  const { write } = process.stderr;
  let written = '';
  process.stderr.write = ((text: string) => {
    written += text;
    return true;
  }) as typeof write;
  try {
    await work();
  } finally {
    process.stderr.write = write;
  }
  return written;
}

test('an orderly life is told to a logger as information, and to nobody on stderr', async () => {
  const written = await stderrOf(async () => {
    await using quiet = await start({ replicas: 2 });
    await using pool = await balance(quiet, 'quiet');
    await pool.call('a message');
    await quiet.resize(1);
    await quiet.reload();
  });
  assert.is(written, '');
  const { entries, log } = logbook();
  const supervisor = await start({ replicas: 1, log, name: 'named' });
  await supervisor.reload();
  await supervisor.close();
  assert.ok(entries.every(({ level }) => level === 'info'));
  assert.ok(entries.every(({ fields }) => fields['supervisor'] === 'named'));
  assert.ok(entries.every(({ text }) => text.startsWith('ballermann: named: ')));
  const events = entries.map(({ fields }) => fields['event']);
  assert.equal(events, ['up', 'up', 'down', 'reloaded', 'down', 'close']);
});

test('a death: who, how, why, the failures in a row, and what follows', async () => {
  using folder = new Folder();
  const { log, of } = logbook();
  await using supervisor = await supervise({
    exec: lifecycle,
    replicas: 1,
    log,
    name: 'web',
    backoff: { initial: 20, max: 20 },
    env: { FAIL_AFTER: folder.at('failing') },
  });
  const pid = supervisor.children()[0]?.pid as number;
  await rejects(call(pid, { op: 'crash' }), 'ERR_REPLICA_DIED');
  await until(() => of('down').length >= 6, 'six deaths');
  const texts = of('down').map(({ text }) => text);
  assert.is(
    texts[0],
    `ballermann: web: replica 0 (pid ${pid}) exited with code 1: TypeError: crashed on purpose; restart at once`,
  );
  assert.match(texts[2] ?? '', /RangeError: failed on a later start, failure 3 in a row; restart in \d+ ms$/);
  assert.match(texts[4] ?? '', /crash loop: replica 0 .*failure 5 in a row/);
  assert.equal(
    of('down')
      .slice(0, 6)
      .map(({ level }) => level),
    ['warn', 'warn', 'warn', 'warn', 'error', 'warn'],
  );
  supervisor.on('gaveUp', () => {});
});

test('a kill after shutdown and a failed reload each have their line', async () => {
  using folder = new Folder();
  const { log, of } = logbook();
  const options = { exec: lifecycle, replicas: 1, log, shutdown: 150, env: { HOOKS: '["hangs"]' } } as const;
  const supervisor = await supervise(options);
  folder.open('failing');
  await rejects(supervisor.reload({ env: { FAIL_AFTER: folder.at('failing') } }), 'ERR_START_FAILED');
  await until(() => of('reloadFailed').length === 1, 'a word of the reload');
  assert.match(of('reloadFailed')[0]?.text ?? '', /the reload failed: .*failed on a later start/);
  await supervisor.close();
  await until(() => of('killed').length === 1, 'a word of the kill');
  assert.match(of('killed')[0]?.text ?? '', /did not stop within 150 ms \(shutdown\) and was killed/);
});

test('the handler of a cast that throws is news: its stack is written, once', async () => {
  const supervisor = await start({ replicas: 1, name: 'news' });
  const pid = supervisor.children()[0]?.pid as number;
  const written = await stderrOf(async () => {
    const failed = new Promise((resolve) => supervisor.once('castFailed', resolve));
    cast(pid, { op: 'throw', message: 'of its own' });
    await failed;
  });
  await supervisor.close();
  assert.match(written, /^ballermann: news: a cast failed: the handler of replica \d+ failed: /);
  assert.match(written, /\nTypeError: of its own\n {4}at .*echo\.mjs/);
});

test('a flood of one event is cut to ten lines a second, and the rest is counted', async () => {
  const { entries, log } = logbook();
  const written = new Log('flooded', log);
  for (let i = 0; i < 1_000; i++) written.write('blocked', { level: 'warn', text: `number ${i}` }, {});
  written.write('hung', { level: 'error', text: 'another event' }, {});
  assert.is(entries.length, 11);
  await until(() => entries.length === 12, 'the count of those that were left out');
  assert.match(entries[11]?.text ?? '', /990 more lines about 'blocked' were left out/);
  const quiet = await stderrOf(async () => {
    const own = new Log('quiet', undefined);
    for (let i = 0; i < 1_000; i++) own.write('down', { level: 'info', text: 'in an orderly way' }, {});
    own.write('down', { level: 'warn', text: 'a death' }, {});
    await until(() => true, 'a turn');
  });
  assert.is(quiet, 'ballermann: quiet: a death\n', 'what is not written is not counted');
});

test('a logger that throws or rejects changes nothing, and its line goes to stderr', async () => {
  const broken = (): never => {
    throw new Error('no disk');
  };
  const log = { info: broken, warn: broken, error: broken };
  const supervisor = await start({ replicas: 1, log: { ...log, info() {} }, name: 'deaf' });
  const written = await stderrOf(async () => {
    await killed(supervisor, supervisor.children()[0]?.pid as number);
    await until(() => supervisor.children()[0]?.state === 'up', 'the restart');
  });
  await supervisor.close();
  assert.match(written, /^ballermann: deaf: replica 0 .*was killed by SIGKILL.*the logger threw: no disk/);

  const late = async () => broken();
  const rejected = await stderrOf(async () => {
    new Log('deaf', { info: late, warn: late, error: late }).write(
      'down',
      { level: 'warn', text: 'who died' },
      {},
    );
    await new Promise(setImmediate);
  });
  assert.is(rejected, 'ballermann: deaf: who died (the logger threw: no disk)\n');
});

test('log: false writes nothing', async () => {
  const supervisor = await start({ replicas: 1, log: false });
  const written = await stderrOf(() => killed(supervisor, supervisor.children()[0]?.pid as number));
  await supervisor.close();
  assert.is(written, '');
});

test.run();
