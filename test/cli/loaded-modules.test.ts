/** What is loaded of the package: what operating needs costs nothing where it is not used. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture } from '../support/helpers.js';

const test = suite('', undefined);

interface Loaded {
  /** Files of other packages. */
  readonly packages: string[];
  readonly imported: string[];
  readonly supervised: string[];
  readonly closed: string[];
}

/** Rooms and faces that are loaded when they are used, and no sooner. (metrics() is synchronous and counts from the start.) */
const OPTIONAL = /^(?:cli|control|admin|systemd|prometheus|opentelemetry|nats)(?:\/|\.js$|-)/;

test('import and a plain supervise load nothing of the command line, control, admin, systemd, Prometheus, OpenTelemetry and NATS', async () => {
  const child = fork(fileURLToPath(fixture('cli/loads.mjs')), [fileURLToPath(fixture('echo.mjs'))]);
  const [[loaded]] = (await Promise.all([once(child, 'message'), once(child, 'exit')])) as [
    [Loaded],
    unknown[],
  ];
  const { packages, ...stages } = loaded;
  assert.equal(packages, [], 'files of other packages');
  for (const [when, files] of Object.entries(stages) as [keyof typeof stages, string[]][])
    assert.equal(
      files.filter((file) => OPTIONAL.test(file)),
      [],
      when,
    );
  // Each file more costs every program that imports the package a part of a millisecond: let somebody decide that.
  assert.ok(
    loaded.imported.includes('index.js') && loaded.imported.length <= MOST.imported,
    `import: ${loaded.imported.length}`,
  );
  assert.ok(
    loaded.supervised.includes('primary/supervision/supervisor.js') &&
      loaded.supervised.length <= MOST.supervised,
    `supervise: ${loaded.supervised.length}`,
  );
});

const MOST = { imported: 25, supervised: 115 };

test.run();
