/** The one list of options, and what is made of it: flags, variables, configuration, the readers of their values. */

import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { commands, loadCommand } from '#src/cli/commands.js';
import { closest } from '#src/cli/did-you-mean.js';
import { onlyInFiles, optionFlags, options, variableOf, withoutFlag } from '#src/cli/options-list.js';
import { parse } from '#src/cli/parse.js';
import * as kinds from '#src/cli/values.js';
import { balancerOptionNames } from '#src/primary/pools/balancer-options.js';
import { supervisorOptionNames } from '#src/primary/supervision/supervisor-options.js';

const test = suite('', undefined);

test('each option of supervise and balance is a flag or says why it is none, and the reverse', () => {
  const ofPackage = [...supervisorOptionNames, ...balancerOptionNames].sort();
  const own = ['config', 'watch', 'watchPath']; // of `run` alone
  const ofRun = new Set<string>([...options.map(({ sets }) => sets), ...Object.keys(withoutFlag)]);
  for (const name of own) assert.ok(ofRun.delete(name), `${name} is no option of run`);
  assert.equal([...ofRun].sort(), ofPackage);
  const both = options.filter(({ sets }) => sets in withoutFlag);
  assert.equal(both, [], 'a flag, and a reason why there is none');
  for (const name of Object.keys(onlyInFiles)) assert.ok(ofPackage.includes(name));
});

test('flags, their letters and variables are each there once, and spelt as the options are', () => {
  for (const key of ['name', 'short'] as const) {
    const all = options.map((option) => option[key]).filter((value) => value !== undefined);
    assert.is(new Set(all).size, all.length);
  }
  for (const option of options) {
    const camel = option.name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
    const { sets, field = '' } = option;
    const spellings = [sets, `${sets}${field.replace(/^\w/, (letter) => letter.toUpperCase())}`];
    if (option.name !== 'node-arg')
      assert.ok(spellings.includes(camel), `${option.name} sets ${sets} ${field}`);
    assert.match(variableOf(option), /^BALLERMANN_[A-Z_]+$/);
    assert.not.ok(['BALLERMANN_INDEX', 'BALLERMANN_REPLICA'].includes(variableOf(option)));
  }
});

const read: readonly [kinds.Kind, string, unknown][] = [
  [kinds.size, '512mb', 512 * 2 ** 20],
  [kinds.size, '512MB', 512 * 2 ** 20],
  [kinds.size, '1.5g', 1.5 * 2 ** 30],
  [kinds.size, '2GiB', 2 * 2 ** 30],
  [kinds.size, '100', 100],
  [kinds.size, '64 kb', 65_536],
  [kinds.size, 'none', Number.POSITIVE_INFINITY],
  [kinds.size, '5xb', undefined],
  [kinds.size, '-5mb', undefined],
  [kinds.size, 'mb', undefined],
  [kinds.size, '1e3', undefined],
  [kinds.duration, '30s', 30_000],
  [kinds.duration, '1500', 1_500],
  [kinds.duration, '0.5m', 30_000],
  [kinds.duration, '12H', 43_200_000],
  [kinds.duration, '1d', 86_400_000],
  [kinds.duration, 'none', undefined],
  [kinds.duration, '30 bananas', undefined],
  [kinds.duration, '', undefined],
  [kinds.duration, '-1s', undefined],
  [kinds.duration, '0x10', undefined],
  [kinds.timeLimit, 'infinity', Number.POSITIVE_INFINITY],
  [kinds.replicas, 'max', availableParallelism()],
  [kinds.replicas, '3', 3],
  [kinds.replicas, '0', undefined],
  [kinds.replicas, '-1', undefined],
  [kinds.replicas, '2.5', undefined],
  [kinds.limit, 'none', Number.POSITIVE_INFINITY],
  [kinds.limit, '7', 7],
  [kinds.count, '7x', undefined],
  [kinds.ratio, '.5', 0.5],
  [kinds.ratio, '1', 1],
  [kinds.ratio, '0', undefined],
  [kinds.ratio, '1.1', undefined],
  [kinds.boolean, 'Yes', true],
  [kinds.boolean, '0', false],
  [kinds.boolean, 'maybe', undefined],
  [kinds.pair, 'A=b=c', 'A=b=c'],
  [kinds.pair, 'A', undefined],
  [kinds.pair, '=b', undefined],
];

test('what people write for sizes, times and counts is read, or refused', () => {
  for (const [kind, text, value] of read)
    assert.is(kind.read(text), value, `${kind.expected}: ${JSON.stringify(text)}`);
});

/** Command lines of `run` that are wrong, and what is said of each. */
const wrong: readonly [string[], RegExp][] = [
  [['--maxrss', '5'], /no flag --maxrss\. Did you mean --max-rss\?/],
  [['--replcias=3'], /no flag --replcias\. Did you mean --replicas\?/],
  [['--port', '3000'], /no flag --port\. Arguments of the script stand after --/],
  [['-z'], /no flag -z/],
  [['--no-name'], /no flag --no-name/],
  [['--log'], /--log needs one of text, json, silent/],
  [['--log', 'jsn'], /--log must be one of text, json, silent; got "jsn"\. Did you mean json\?/],
  [['--name', '--watch'], /--name needs a value.* write --name=--watch/],
  [['--watch=yes'], /--watch takes no value; got "yes"/],
  [['two.js'], /takes no more than SCRIPT; got "two.js"/],
  [['--__proto__'], /no flag --__proto__/],
  [['--constructor'], /no flag --constructor/],
];

test('a wrong flag is named, with what came and what is allowed', async () => {
  const command = await loadCommand('run');
  for (const [args, text] of wrong)
    assert.throws(
      () => parse(command, ['a.js', ...args]),
      (error: Error) => text.test(error.message),
      args.join(' '),
    );
  assert.throws(() => parse({ ...command, takesRest: false }, ['a.js', '--', 'b']), /takes nothing after --/);
});

test('flags in all their spellings, words, and what stands after --', async () => {
  const command = await loadCommand('run');
  const { values, words, rest } = parse(command, [
    ...['-n', '2', '-e', 'A=1', '--env=B=2', 'a.js', '-w', '--no-control', '--max-rss=1gb'],
    ...['--', '--help', '-n', '--'],
  ]);
  assert.equal(values, { replicas: '2', env: ['A=1', 'B=2'], watch: true, control: false, 'max-rss': '1gb' });
  assert.equal(words, ['a.js']);
  assert.equal(rest, ['--help', '-n', '--']);
  assert.ok(parse(command, ['--help']).wantsHelp);
});

test('every command says how it is used, and its module has its name', async () => {
  for (const name of Object.keys(commands) as (keyof typeof commands)[]) {
    const command = await loadCommand(name);
    assert.is(command.name, name);
    assert.ok(command.examples.length > 0 && command.summary !== '' && !command.summary.endsWith('.'));
  }
  assert.ok(Object.keys(optionFlags).length === options.length);
});

test('what was meant is guessed where it is close, and nothing else', () => {
  const names = ['run', 'status', 'reload', 'replicas', 'max-rss'];
  assert.equal(
    ['rnu', 'stauts', 'relaod', 'maxrss', 'repl', 'frobnicate', 'x', ''].map((name) => closest(name, names)),
    [...['run', 'status', 'reload', 'max-rss', 'replicas'], ...[undefined, undefined, undefined]],
  );
});

test.run();
