/** A client of control sockets: finds the supervisors of this user, and asks one of them. */

import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Deferred, deferred } from '../deferred.js';
import { folders, isPrivate, nameOf } from './folders.js';
import { Lines } from './lines.js';
import { type Event, type Failure, PROTOCOL, parseObject, type Request, type Results } from './protocol.js';

/** Bytes of an answer: far more than the status of 1,024 replicas and 64 pools has. */
const MAX_ANSWER = 64 * 1024 * 1024;

export interface Found {
  readonly name: string;
  readonly path: string;
}

/** The supervisors of this user that take connections now, by name. */
export async function findSupervisors(env: Readonly<Record<string, string | undefined>>): Promise<Found[]> {
  const files = folders(env).filter(isPrivate).flatMap(socketsIn); // another user may have made the folder
  const answered = await Promise.all(files.map(async (file) => ((await isThere(file.path)) ? [file] : [])));
  return answered.flat().sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

function socketsIn(folder: string): Found[] {
  return readdirSync(folder).flatMap((file) => {
    const name = nameOf(file);
    return name === undefined ? [] : [{ name, path: join(folder, file) }];
  });
}

/** One whose process has ended leaves its socket behind. */
async function isThere(path: string): Promise<boolean> {
  try {
    (await connected(path)).destroy();
    return true;
  } catch {
    return false;
  }
}

/** What the supervisor answered: a BallermannError of its process, or an error of another kind, with its code. */
export class ControlError extends Error {
  readonly code: string;

  constructor({ error: { code, message } }: Failure) {
    super(message);
    this.code = code;
  }
}

/** A connection to one supervisor. It has one request at a time. */
export class ControlClient {
  readonly #socket: Socket;
  readonly #lines = new Lines(MAX_ANSWER);
  readonly #ended = deferred();
  #asked: { readonly answer: Deferred<unknown>; readonly onEvent: (event: Event) => void } | undefined;
  #failure: Error = new ConnectionLost('the supervisor has closed the connection');

  /** @throws the system's error where nobody listens there. */
  static async connect(path: string): Promise<ControlClient> {
    return new ControlClient(await connected(path));
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', (cause) => {
      this.#failure = new ConnectionLost(`the connection to the supervisor failed: ${cause.message}`, {
        cause,
      });
    });
    socket.once('close', () => {
      this.#asked?.answer.reject(this.#failure);
      this.#ended.resolve();
    });
  }

  /** Resolves when the connection has ended. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** @throws ControlError where the supervisor says no; ConnectionLost where it says nothing any more. */
  async ask<Verb extends keyof Results>(
    request: Extract<Request, { verb: Verb }>,
    onEvent: (event: Event) => void = () => {},
  ): Promise<Results[Verb]> {
    if (this.#socket.destroyed) throw this.#failure;
    const answer = deferred<unknown>();
    this.#asked = { answer, onEvent };
    this.#send(request);
    return answer.promise as Promise<Results[Verb]>;
  }

  /** Ends the window that was asked for: that request gets its result. */
  closeWindow(): void {
    this.#send({ verb: 'close' });
  }

  end(): void {
    this.#socket.destroy();
  }

  #send(request: Request): void {
    this.#socket.write(`${JSON.stringify({ protocol: PROTOCOL, ...request })}\n`);
  }

  #read(bytes: Buffer): void {
    try {
      for (const line of this.#lines.add(bytes)) this.#take(parseObject(line));
    } catch (cause) {
      this.#failure = new ConnectionLost('the supervisor answered what makes no sense', { cause });
      this.#socket.destroy();
    }
  }

  #take(answer: Record<string, unknown>): void {
    const asked = this.#asked;
    if ('event' in answer) return asked?.onEvent(answer as unknown as Event);
    this.#asked = undefined;
    if ('result' in answer) asked?.answer.resolve(answer['result']);
    else if ('error' in answer) {
      const failure = new ControlError(answer as unknown as Failure);
      this.#failure = failure; // where it hangs up after it
      asked?.answer.reject(failure);
    }
  }
}

/** The supervisor's process has ended, or has hung up. */
export class ConnectionLost extends Error {}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}
