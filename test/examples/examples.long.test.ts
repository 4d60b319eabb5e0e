/** Each example as a user runs it: in a process of its own, asked by real clients, held by a window, stopped by SIGTERM. */

import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Example, twoReplicas } from '../support/example.js';
import { spread, times, until } from '../support/helpers.js';
import { Folder, isAlive } from '../support/processes.js';

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
  readonly headers: Record<string, unknown>;
}

/** One request, on a connection of its own unless the agent has one. */
function request(url: string, agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.once('end', () => resolve({ status: response.statusCode, body, headers: response.headers }));
      response.once('error', reject);
    });
    asked.once('error', reject);
    asked.once('timeout', () => asked.destroy(new Error('no answer within 10 s')));
  });
}

/** Clients that ask one request after another, each on a connection that it keeps. */
class Clients {
  readonly answers: Answer[] = [];
  #stopping = false;
  readonly #running: Promise<void>[];

  constructor(count: number, urlOf: (i: number) => string) {
    let asked = 0;
    this.#running = times(count, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (!this.#stopping) this.answers.push(await request(urlOf(asked++), agent));
      agent.destroy();
    });
    for (const running of this.#running) running.catch(() => {}); // stop() tells
  }

  /** Waits until some more have been answered. */
  async more(count = 100): Promise<void> {
    const enough = this.answers.length + count;
    await until(() => this.answers.length >= enough, `${count} more answers`);
  }

  /** Each was answered, and well. @throws what any request failed with. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    assert.equal(
      this.answers.filter(({ status }) => status !== 200),
      [],
    );
  }
}

test('http: the log is rotated, and no line is lost', async () => {
  using folder = new Folder();
  const LOG = folder.at('access.log');
  await using example = new Example('http/main.js', { LOG });
  const url = await example.url();
  const pids = await twoReplicas(async () => Number((await request(url)).body));
  const linesOf = (file: string): number => readFileSync(file, 'utf8').split('\n').length - 1;
  const before = linesOf(LOG);

  const clients = new Clients(8, () => url);
  const logs = [LOG];
  for (let rotation = 1; rotation <= 5; rotation++) {
    await clients.more(50);
    example.signal('SIGUSR2');
    await example.says(new RegExp(`^rotation ${rotation}$`, 'm'));
    logs.push(`${LOG}.${rotation}`);
  }
  await clients.stop();
  const lines = logs.map(linesOf).reduce((sum, count) => sum + count, 0);
  assert.is(lines, before + clients.answers.length);
  await example.ends(pids);
});

test('http: a reload by SIGHUP replaces the replicas, and no request fails', async () => {
  using folder = new Folder();
  await using example = new Example('http/main.js', { LOG: folder.at('access.log') });
  const url = await example.url();
  const old = await twoReplicas(async () => Number((await request(url)).body));
  const clients = new Clients(8, () => url);
  await clients.more();
  example.signal('SIGHUP');
  await until(() => ![...old].some(isAlive), 'the end of the old replicas');
  await clients.more();
  await clients.stop();
  const fresh = await twoReplicas(async () => Number((await request(url)).body));
  assert.equal(
    [...fresh].filter((pid) => old.has(pid)),
    [],
  );
  await example.ends(fresh);
});

test('fastify: settings are read as the one edition or the other, never half written', async () => {
  using folder = new Folder();
  await using example = new Example('fastify/main.js', { SETTINGS: folder.at('settings.json') });
  const url = await example.url();
  const pids = await twoReplicas(async () => JSON.parse((await request(url)).body).pid);

  const clients = new Clients(8, () => url);
  for (let edition = 2; edition <= 6; edition++) {
    await clients.more(20);
    example.signal('SIGUSR2');
    await example.says(new RegExp(`^edition ${edition}$`, 'm'));
    assert.is(JSON.parse((await request(url)).body).edition, edition);
  }
  await clients.stop();
  await example.ends(pids);
});

test('express: the cache is emptied, and no request finds it missing', async () => {
  await using example = new Example('express/main.js');
  const url = await example.url();
  const pids = await twoReplicas(async () => Number((await request(`${url}/page`)).headers['x-pid']));

  const clients = new Clients(8, (i) => `${url}/${i % 50}`);
  await clients.more();
  example.signal('SIGUSR2');
  await example.says(/cache emptied/);
  await clients.more();
  await clients.stop();
  await example.ends(pids);
});

test('calls: every piece is computed, in turn, and it ends by itself', async () => {
  await using example = new Example('calls/main.js');
  await example.endsByItself();
  const said = await example.says(/(\d+ computed \d+\n)+fingerprints \d+, wrong 0/);
  const counts = [...said.matchAll(/computed (\d+)/g)].map(([, count]) => Number(count));
  assert.is(counts.length, 4);
  assert.ok(spread(counts) <= 1, counts.join(' '));
});

test.run();
