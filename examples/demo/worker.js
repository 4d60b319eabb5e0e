/** A replica: answers with the fingerprint of the piece that it is asked for. */

import { handle, onShutdown } from 'ballermann/replica';
import { fingerprint, readPieces } from './corpus.js';

const pieces = readPieces();
let answered = 0;

handle((message) => {
  if (message.ask === 'answered') return answered;
  const answer = { pid: process.pid, hash: fingerprint(pieces[message.piece]) };
  answered++;
  return answer;
});

onShutdown((reason) => {
  process.send({ goodbye: { pid: process.pid, reason, answered } }); // a plain message of node:cluster
});
