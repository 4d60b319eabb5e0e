/** The files of others that the pages show, checked by those who read them: systemd, nginx, Docker, Kubernetes. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { validate } from 'dockerfile-utils';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { Folder } from '../support/processes.js';

const docs = fileURLToPath(new URL('../../../docs', import.meta.url));

/** The blocks of a page in a language, without what stands before each line in a list. */
function blocks(page: string, language: string): string[] {
  const text = readFileSync(`${docs}/${page}.md`, 'utf8');
  const found = [...text.matchAll(new RegExp(`^( *)\`\`\`${language}\\b.*\\n([\\s\\S]*?)^ *\`\`\`$`, 'gm'))];
  assert.ok(found.length > 0, `${page}.md shows no ${language}`);
  return found.map(([, indent, body]) => (body as string).replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

/** Whoever has no such command skips its test; CI has to have it. */
function withCommand(command: string, ...args: string[]): typeof test | typeof test.skip {
  const isThere = spawnSync(command, args).error === undefined;
  return isThere || process.env['CI'] ? test : test.skip;
}

/** @returns all that it says. */
function accepts(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  assert.is(error, undefined);
  assert.is(status, 0, `${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

withCommand('systemd-analyze', '--version')('systemd takes each unit without a word', () => {
  for (const page of ['operations', 'systemd']) {
    using folder = new Folder();
    const [unit] = blocks(page, 'ini') as [string];
    // It asks whether the program is there.
    writeFileSync(folder.at('app.service'), unit.replace('/usr/bin/node', process.execPath));
    assert.is(accepts('systemd-analyze', 'verify', folder.at('app.service')), '');
  }
});

withCommand('nginx', '-v')('nginx takes each configuration', () => {
  for (const [index, page] of ['operations', 'servers'].entries()) {
    for (const shown of blocks(page, 'nginx')) {
      using folder = new Folder();
      // Only root may have port 80, for which nginx asks.
      const included = shown.replace('listen 80;', `listen 127.0.0.1:${18_080 + index};`);
      const main = `pid ${folder.at('pid')}; error_log stderr; events {} http { access_log off; ${included} }`;
      writeFileSync(folder.at('nginx.conf'), main);
      accepts('nginx', '-t', '-q', '-p', folder.path, '-c', folder.at('nginx.conf'));
    }
  }
});

test('the Dockerfile is one, and starts node itself', () => {
  const [dockerfile] = blocks('operations', 'dockerfile') as [string];
  assert.equal(validate(dockerfile), []);
  assert.match(dockerfile, /^CMD \["node", /m);
});

test('the Deployment is one, and has time for the pause and for a stop', () => {
  const [text] = blocks('operations', 'yaml') as [string];
  const { apiVersion, kind, spec } = parse(text, { strict: true });
  assert.is(`${apiVersion} ${kind}`, 'apps/v1 Deployment');
  assert.equal(spec.selector.matchLabels, spec.template.metadata.labels);
  const { containers, terminationGracePeriodSeconds: grace } = spec.template.spec;
  const [{ ports, readinessProbe, lifecycle }] = containers;
  assert.is(readinessProbe.httpGet.port, ports[0].containerPort);
  const [command, pause] = lifecycle.preStop.exec.command;
  assert.is(command, 'sleep');
  const shutdown = 5;
  assert.ok(grace > Number(pause) + shutdown, `${grace} s`);
});

test.run();
