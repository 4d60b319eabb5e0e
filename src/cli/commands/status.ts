/** `ballermann status`: shows what a supervisor, its replicas and its pools do. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlClient } from '../../control/client.js';
import type { Command, Context } from '../command.js';
import { EXIT, FailedError } from '../command.js';
import { asking, nameFlag, reach } from '../reach.js';
import { Screen } from '../screen.js';
import { type Look, type Sample, statusLines } from '../status-table.js';

/** ms */
const EVERY = 1_000;

/** ms in which a supervisor whose event loop turns has answered. */
const PATIENCE = 10_000;

export const command: Command = {
  name: 'status',
  usage: '[NAME] [flags]',
  summary: 'Shows who is up, and what they do',
  examples: [
    { line: 'ballermann status', does: 'once' },
    { line: 'ballermann status --watch', does: 'live; q ends it' },
    { line: "ballermann status --json | jq '.replicas[].rss'", does: 'for a script' },
  ],
  flags: {
    name: nameFlag,
    json: { type: 'boolean', help: 'The whole snapshot as JSON; with --watch, a line each second' },
    watch: { type: 'boolean', short: 'w', help: 'Again each second' },
  },
  words: { min: 0, max: 1, names: ['NAME'] },
  notes: [
    'util: the part of the time in which the event loop worked. open: calls and requests that are not finished.',
    'req/s: calls and requests a second; without --watch, requests: all that were ever begun. restarts: those that',
    'nobody asked for. NO_COLOR=1 leaves out the colours.',
  ],
  run,
};

async function run(context: Context): Promise<number> {
  const { words, values } = context;
  const reached = await reach(context, words[0]);
  return asking(reached, (client) =>
    values['watch'] === true ? watch(client, context) : once(client, context),
  );
}

async function once(client: ControlClient, context: Context): Promise<number> {
  const { stdout, values } = context;
  const now = await sample(client);
  if (values['json'] === true) stdout.write(`${JSON.stringify(now.status, null, 2)}\n`);
  else stdout.write(`${statusLines(now, undefined, lookOf(context)).join('\n')}\n`);
  return EXIT.ok;
}

async function watch(client: ControlClient, context: Context): Promise<number> {
  const { stdout, values } = context;
  if (values['json'] === true || !stdout.isTTY) return stream(client, context);
  using screen = new Screen(context);
  let before: Sample | undefined;
  let now = await sample(client);
  const draw = (): void => {
    const rows = Math.max(6, (stdout.rows ?? 24) - 1);
    screen.draw([...statusLines(now, before, { ...lookOf(context), rows }), '', 'q: quit']);
  };
  stdout.on('resize', draw);
  try {
    for (;;) {
      draw();
      if (await screen.left(EVERY)) return EXIT.ok;
      before = now;
      now = await sample(client);
    }
  } finally {
    stdout.off('resize', draw);
  }
}

/** Not for a screen: one after another, until whoever reads has enough. */
async function stream(client: ControlClient, context: Context): Promise<number> {
  const { stdout, values } = context;
  let before: Sample | undefined;
  while (stdout.writable) {
    const now = await sample(client);
    if (values['json'] === true) stdout.write(`${JSON.stringify(now.status)}\n`);
    else stdout.write(`${statusLines(now, before, lookOf(context)).join('\n')}\n\n`);
    before = now;
    await sleep(EVERY);
  }
  return EXIT.ok;
}

async function sample(client: ControlClient): Promise<Sample> {
  const late = new FailedError(
    `the supervisor has not answered for ${PATIENCE / 1_000} s: its event loop does not turn`,
  );
  const abort = new AbortController();
  const status = await Promise.race([
    client.ask({ verb: 'status' }),
    sleep(PATIENCE, undefined, abort).then(() => {
      throw late;
    }),
  ]).finally(() => abort.abort());
  return { status, at: performance.now() };
}

function lookOf({ stdout, env }: Context): Look {
  const isLive = stdout.isTTY === true;
  return { isLive, hasColour: isLive && !env['NO_COLOR'] && env['TERM'] !== 'dumb' };
}
