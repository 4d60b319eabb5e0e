/**
 * A pid that the kernel gives away again: to a stranger, or to another replica. In a pid namespace, whose next pid can
 * be chosen; that takes root.
 */

import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture } from '../support/helpers.js';
import { Folder, NEW_NAMESPACE } from '../support/processes.js';

/** The command's arguments. PID 1 is a shell, so that the primary is a process like any other. */
function command(scenario: string, ...args: string[]): [string, string[]] {
  const [unshare, ...options] = NEW_NAMESPACE;
  const script = fileURLToPath(fixture('pid-reuse.mjs'));
  return [
    unshare,
    [...options, 'sh', '-c', '"$@"; exit $?', 'sh', process.execPath, script, scenario, ...args],
  ];
}

/** What came of the scenario. */
async function play<Outcome>(scenario: string, ...args: string[]): Promise<Outcome> {
  const [unshare, options] = command(scenario, ...args);
  const { stdout } = await promisify(execFile)(unshare, options, { timeout: 30_000, killSignal: 'SIGKILL' });
  return JSON.parse(stdout);
}

/** Why it cannot be provoked here; undefined where it can. */
const hindrance = ((): string | undefined => {
  try {
    const pid = execFileSync(...command('possible'), { encoding: 'utf8', stdio: 'pipe' }).trim();
    return pid === '20000' ? undefined : `the pid is ${pid} and not the chosen one`;
  } catch (error) {
    return String(error);
  }
})();
if (hindrance !== undefined) console.log(`no pid can be chosen here, the tests are skipped: ${hindrance}`);
const inNamespace = hindrance === undefined ? test : test.skip;

interface Refusal {
  value?: unknown;
  code?: string;
}

interface Life {
  pid: number;
  end: number | string | undefined;
}

inNamespace(
  'a stranger with the pid of a dead replica gets no signal, and nothing is sent in its name',
  async () => {
    const outcome = await play<{
      victim: number;
      other: number;
      answered: number[];
      handedOut: number[];
      outstanding: Refusal;
      outcomes: Refusal[];
      life: Life;
    }>('stranger');
    const { victim, other, life } = outcome;
    assert.equal(life, { pid: victim }, 'it has that pid and lives');
    assert.equal(outcome.handedOut, [other]);
    assert.equal(outcome.outstanding, { code: 'ERR_REPLICA_DIED' });
    assert.equal(outcome.answered, Array(4).fill(other), 'what it had not begun went to the other replica');
    assert.equal(outcome.outcomes, Array(3).fill({ code: 'ERR_NO_SUCH_REPLICA' }));
  },
);

inNamespace('a kill that comes too late reaches nobody', async () => {
  using folder = new Folder();
  const { victim, hung, life } = await play<{ victim: number; hung: number; life: Life }>(
    'signal',
    folder.path,
  );
  assert.is(hung, victim);
  assert.equal(life, { pid: victim }, 'it has that pid and lives');
});

inNamespace(
  'a new replica with the pid of one whose death is not yet told is the one that is meant',
  async () => {
    const outcome = await play<{
      second: number;
      pid: number;
      downs: number[];
      outstanding: Refusal;
      journal: Refusal;
      called: { value?: unknown; error?: unknown };
      handedOut: number[];
      answered: Refusal;
    }>('replica');
    const { pid, second } = outcome;
    assert.is(pid, second, 'the kernel gave the pid away again');
    assert.is(outcome.downs[1], second, 'and the death was told afterwards');
    assert.equal(outcome.outstanding, { code: 'ERR_REPLICA_DIED' });
    assert.equal(outcome.journal, { value: [] }, 'nothing of the dead one’s reached it');
    assert.equal(outcome.called, {});
    assert.equal(outcome.handedOut, [pid]);
    assert.equal(outcome.answered, { value: pid });
  },
);

test.run();
