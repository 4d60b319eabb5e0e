/** What bash and zsh complete, by the scripts that `ballermann completion` prints. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cli } from '../support/control.js';
import { Folder } from '../support/processes.js';

const test = suite('', undefined);

test('bash completes commands, flags, values, files and what is named after help', async () => {
  const { out, code } = await cli('completion', 'bash');
  assert.is(code, 0);
  using folder = new Folder();
  folder.script('server.js', '');
  const lines: readonly [string[], RegExp][] = [
    [['r'], /^run reload$/],
    [['run', '--max-r'], /^--max-rss --max-requests$/],
    [['run', 'server.js', '--restart', ''], /^permanent transient temporary$/],
    [['run', '--no-c'], /^--no-control$/],
    [['run', 'ser'], /^server\.js$/],
    [['run', 'server.js', '--', 'ser'], /^server\.js$/],
    [['status', '--js'], /^--json$/],
    [['help', 'st'], /^status stop$/],
    [['completion', ''], /^bash zsh$/],
    [['run', '-n', ''], /^$/],
  ];
  const script = folder.script('completion.bash', out);
  const asks = lines.map(([words]) => {
    const all = ['ballermann', ...words].map((word) => `'${word}'`).join(' ');
    return `COMP_WORDS=(${all}); COMP_CWORD=${words.length}; _ballermann; echo "\${COMPREPLY[*]}"`;
  });
  const said = execFileSync('bash', ['-uc', [`source ${script}`, ...asks].join('\n')], {
    cwd: folder.path,
    encoding: 'utf8',
  });
  for (const [i, line] of said.split('\n').slice(0, lines.length).entries())
    assert.match(line, lines[i]?.[1] as RegExp, lines[i]?.[0].join(' '));
});

const hasZsh = spawnSync('zsh', ['--version']).status === 0;

/** An interactive zsh on a terminal of its own: types each line, a tab, and ^G, which notes what the line has become. */
const DRIVER = String.raw`
zmodload zsh/zpty
zpty shell "TERM=dumb zsh -f -i"
zpty -w shell "autoload -U compinit; compinit -u -d dump; source ./_ballermann"
zpty -w shell 'note() { print -r -- "$BUFFER" >> noted; BUFFER= }; zle -N note'
zpty -w shell 'bindkey "^G" note; bindkey "^I" complete-word; : > ready'
until [[ -e ready ]]; do zpty -r -t shell; sleep 0.02; done
for line in "$@"; do zpty -n -w shell "ballermann $line"$'\t\a'; done
until [[ -e noted && $(wc -l < noted) -ge $# ]]; do zpty -r -t shell; sleep 0.02; done
zpty -d shell
`;

(hasZsh ? test : test.skip)(
  'zsh completes commands, flags, values, files and what stands after help',
  async () => {
    using folder = new Folder();
    folder.script('_ballermann', (await cli('completion', 'zsh')).out);
    folder.script('server.js', '');
    const lines = {
      rel: 'reload ',
      'run --max-a': 'run --max-age=',
      'run ser': 'run server.js ',
      'run server.js --restart=perm': 'run server.js --restart=permanent ',
      'run server.js --no-co': 'run server.js --no-control ',
      'run server.js -- ser': 'run server.js -- server.js ',
      'status shop --js': 'status shop --json ',
      'window shop --qu': 'window shop --quiet ',
      'window shop -- ser': 'window shop -- server.js ',
      'completion z': 'completion zsh ',
      'help rel': 'help reload ',
      'run server.js --nothing': 'run server.js --nothing',
    };
    execFileSync('zsh', ['-fc', DRIVER, 'driver', ...Object.keys(lines)], {
      cwd: folder.path,
      timeout: 30_000,
    });
    const noted = readFileSync(folder.at('noted'), 'utf8').split('\n').slice(0, -1);
    assert.equal(
      noted,
      Object.values(lines).map((line) => `ballermann ${line}`),
    );
  },
);

test('another shell is refused, and so is what is no command', async () => {
  const { code, err } = await cli('completion', 'fish');
  assert.is(code, 2);
  assert.match(err, /bash and zsh; got "fish"/);
});

test('the bin: help, version, a misspelt command, a script without its command, flags in front', async () => {
  const said = async (...args: string[]) => {
    const { code, out, err } = await cli(...args);
    return { code, text: out + err };
  };
  const [help, ofRun, version, none] = [
    await said('--help'),
    await said('help', 'run'),
    await said('-v'),
    await said(),
  ];
  assert.equal([help.code, ofRun.code, version.code, none.code], [0, 0, 0, 2]);
  assert.match(help.text, /npx ballermann run server\.js[\s\S]*Commands[\s\S]*completion/);
  assert.match(ofRun.text, /^Usage: ballermann run SCRIPT/m);
  assert.match(version.text, /^\d+\.\d+\.\d+\n$/);
  assert.ok([...help.text.split('\n'), ...ofRun.text.split('\n')].every((line) => line.length <= 110));
  assert.match((await said('stauts')).text, /no command stauts\. Did you mean status\?/);
  assert.match((await said('server.js')).text, /To run a script: ballermann run server\.js/);
  assert.match((await said('-n', '2')).text, /Flags stand after the command/);
  assert.match((await said('run', 'nope.js')).text, /there is no script nope\.js; the current folder is /);
  const nothing = await said('run');
  assert.equal([nothing.code, /run needs the SCRIPT/.test(nothing.text)], [2, true]);
});

test.run();
