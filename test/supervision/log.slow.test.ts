/** The line about a replica that is not ready for long: it comes after five seconds. */

import { type Logger, supervise } from 'ballermann';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/helpers.js';
import { Folder, later, lifecycle } from '../support/processes.js';

test('a slow start has its line, and goes on', async () => {
  using folder = new Folder();
  const lines: { event: unknown; text: string }[] = [];
  const keep: Logger['warn'] = (fields, text) =>
    lines.push({ event: (fields as { event: unknown }).event, text });
  const log = { info() {}, warn: keep, error: keep };
  const starting = later(
    supervise({ exec: lifecycle, replicas: 1, log, env: { LOAD_GATE: folder.at('gate') } }),
  );
  await until(() => lines.length > 0, 'a word of the slow start', 15_000);
  folder.open('gate');
  const supervisor = await starting;
  assert.equal(
    lines.map(({ event }) => event),
    ['slow start'],
  );
  assert.match(
    lines[0]?.text ?? '',
    /replica 0 \(pid \d+\) is not ready after 5000 ms: it has called neither/,
  );
  await supervisor.close();
});

test.run();
