/** A client of the server: one request after another on a connection of its own, and now and then a new connection. */

import { Agent, get } from 'node:http';

const PER_CONNECTION = 10;
const TIMEOUT = 10_000; // ms

export class Client {
  #url;
  #tally;
  #agent = newAgent();
  #left = PER_CONNECTION;
  #socket;
  #pid; // who is at the other end of #socket: known with the first answer

  /** @param tally is told of connections: opened(pid), closed(pid). */
  constructor(url, tally) {
    this.#url = url;
    this.#tally = tally;
  }

  /** @throws what went wrong on the way, with the `pid` of the replica where that is known. */
  ask(page) {
    if (this.#left-- === 0) {
      this.close();
      this.#agent = newAgent();
      this.#left = PER_CONNECTION - 1;
    }
    return new Promise((resolve, reject) => {
      const fail = (error) => reject(Object.assign(error, { pid: this.#pid }));
      const request = get(`${this.#url}/${page}`, { agent: this.#agent, timeout: TIMEOUT }, (response) => {
        const { statusCode: status, headers } = response;
        this.#isWith(Number(headers['x-pid']));
        let text = '';
        response.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        response.once('end', () => resolve({ status, headers, text }));
        response.once('error', fail);
      });
      request.once('socket', (socket) => {
        if (socket === this.#socket) return;
        this.#socket = socket;
        this.#pid = undefined;
      });
      request.once('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT} ms`)));
      request.once('error', fail);
    });
  }

  close() {
    this.#agent.destroy();
  }

  #isWith(pid) {
    if (this.#pid === pid) return;
    this.#pid = pid;
    this.#tally.opened(pid);
    this.#socket.once('close', () => this.#tally.closed(pid));
  }
}

function newAgent() {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}
