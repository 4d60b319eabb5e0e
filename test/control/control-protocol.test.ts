/** What a control socket takes for a request, and which file belongs to which name: without sockets. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeName, nameOf, socketFile } from '#src/control/folders.js';
import { Lines } from '#src/control/lines.js';
import { parseRequest, toFailure } from '#src/control/protocol.js';
import { throws } from '../support/helpers.js';

const request = (fields: object): string => JSON.stringify({ protocol: 1, ...fields });

test('a request that fits is taken with its fields, and without what the protocol adds', () => {
  assert.equal(parseRequest(request({ verb: 'status' })), { verb: 'status' });
  assert.equal(parseRequest(request({ verb: 'resize', by: -1 })), { verb: 'resize', by: -1 });
  const window = { verb: 'window', pool: 'web', wait: 10, timeout: 20 };
  assert.equal(parseRequest(request(window)), window);
});

const bad: [string, string, RegExp][] = [
  ['an empty line', '', /must be a JSON object/],
  ['no JSON', 'status', /must be a JSON object; got 'status'/],
  ['half of an object', '{"verb":', /must be a JSON object/],
  ['an array', '[1]', /must be a JSON object/],
  ['null', 'null', /must be a JSON object/],
  ['a deep nesting', '['.repeat(8_000), /must be a JSON object/],
  ['no version', '{"verb":"status"}', /speaks version 1 .* was asked in nothing/],
  ['another version', '{"protocol":2,"verb":"status"}', /speaks version 1 .* was asked in 2/],
  ['no verb', request({}), /nothing is no verb/],
  ['an unknown verb', request({ verb: 'kill' }), /'kill' is no verb; the verbs are status, reload/],
  ['a verb of every object', request({ verb: 'constructor' }), /is no verb/],
  ['a verb that is no text', request({ verb: ['status'] }), /is no verb/],
  ['an unknown field', request({ verb: 'status', now: true }), /'status' has no field 'now'/],
  ['a field of every object', '{"protocol":1,"verb":"status","__proto__":1}', /has no field '__proto__'/],
  ['a field of another type', request({ verb: 'resize', replicas: '8' }), /must be a number; got '8'/],
  ['null for a number', request({ verb: 'resize', by: null }), /must be a number; got null/],
  ['a window of no pool', request({ verb: 'window' }), /'window' needs the field 'pool'/],
];
for (const [what, line, message] of bad) {
  test(`not understood: ${what}`, () => {
    throws(() => parseRequest(line), { code: 'ERR_PROTOCOL', message });
  });
}

test('lines are the same however the bytes are cut', () => {
  const bytes = Buffer.from('first\n\nthe third, ü\nbegun');
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const lines = new Lines(64);
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...lines.add(bytes.subarray(at, at + size)));
    assert.equal(found, ['first', '', 'the third, ü']);
    assert.ok(lines.hasBegun);
  }
});

test('a line may have as many bytes as allowed, and not one more', () => {
  const lines = new Lines(1_000);
  assert.equal([...lines.add(Buffer.from(`${'x'.repeat(1_000)}\n`))], ['x'.repeat(1_000)]);
  [...lines.add(Buffer.from('y'.repeat(999)))];
  [...lines.add(Buffer.from('y'))];
  assert.throws(() => [...lines.add(Buffer.from('y'))], /longer than 1000 bytes/);
});

test('each name has a file of its own inside the folder', () => {
  const names = [
    'web',
    '.',
    '..',
    '../../etc/passwd',
    'a/b',
    'a%2Fb',
    'ü ö',
    '.hidden',
    'x.sock',
    '\n',
    '\0',
    '-n',
  ];
  const files = names.map((name) => socketFile('/run', name));
  assert.is(new Set(files).size, names.length);
  for (const [i, file] of files.entries()) {
    assert.match(file, /^\/run\/[^/\0\n]+\.sock$/);
    assert.is(nameOf(file.slice('/run/'.length)), names[i]);
  }
});

test('a file that no name makes stands for none', () => {
  for (const file of ['web', 'web.sock.lock', '%.sock', '%2f.sock', 'a b.sock', '%ff.sock'])
    assert.is(nameOf(file), undefined, file);
  assert.throws(() => encodeName('\ud800'));
});

test('what is no error is answered as one', () => {
  assert.equal(toFailure('why'), { error: { code: 'ERR_UNKNOWN', message: 'why' } });
  assert.equal(toFailure(Object.assign(new Error('x'), { code: 7 })).error.code, 'ERR_UNKNOWN');
});

test.run();
