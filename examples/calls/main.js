/**
 * Work for all cores by calls: four replicas compute the fingerprints of real text, handed out in turn.
 *
 *   node examples/calls/main.js       says how many each replica computed, and ends
 */

import { balance, call, supervise } from 'ballermann';
import { fingerprint, readPieces } from './corpus.js';

const exec = new URL('./worker.js', import.meta.url);
const supervisor = await supervise({ exec, replicas: 4 });
await balance(supervisor, 'fingerprints');

const pieces = readPieces();
const answers = await Promise.all(pieces.map((_, piece) => call('fingerprints', { piece })));
await supervisor.close();

const shares = new Map();
for (const { pid } of answers) shares.set(pid, (shares.get(pid) ?? 0) + 1);
for (const [pid, share] of shares) console.log(`${pid} computed ${share}`);
const wrong = answers.filter(({ hash }, i) => hash !== fingerprint(pieces[i])).length;
console.log(`fingerprints ${answers.length}, wrong ${wrong}`);
process.exitCode = wrong === 0 ? 0 : 1;
