/**
 * The control socket of a supervisor: takes connections of its own user, reads a request at a time and has it done. What it
 * does not understand it answers with an error, and hangs up.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { BallermannError } from '../errors.js';
import { addon } from '../memory/addon.js';
import { Claim, unavailable } from './claim.js';
import { Lines } from './lines.js';
import {
  type Answer,
  MAX_REQUEST,
  misunderstood,
  parseRequest,
  type Request,
  type Stopped,
  toFailure,
} from './protocol.js';

const MAX_CONNECTIONS = 64;

/** ms that a connection may be there without a request that is being done. */
const MAX_IDLE = 10_000;

/** ms in which a client reads the last answer, and ends. */
const MAX_FAREWELL = 1_000;

/** Bytes that wait for a client that does not read. */
const MAX_UNREAD = 4 * 1024 * 1024;

/** Who asks, as far as what is asked for needs to know. */
export interface Session {
  tell(event: Answer): void;
  /** Aborts when what is asked for has no purpose any more: the client has gone, or the supervisor. */
  readonly ended: AbortSignal;
  /** Resolves when the client asks for the end of its window. */
  readonly closed: Promise<void>;
}

/** What a supervisor does when it is asked to. */
export interface Controlled {
  /** @returns what is answered, as JSON. @throws what is answered as the error. */
  perform(request: Exclude<Request, { verb: 'close' }>, session: Session): Promise<unknown>;
}

export class ControlServer {
  readonly #claim: Claim;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #controlled: Controlled | undefined;
  /** Connections that are being told why they are refused. */
  #refused = 0;

  /** Resolves when the socket is there. @throws as Claim. */
  static async open(name: string): Promise<ControlServer> {
    const claim = new Claim(name);
    try {
      const control = new ControlServer(claim);
      await control.#listen();
      return control;
    } catch (error) {
      claim.release();
      throw unavailable(name, error);
    }
  }

  private constructor(claim: Claim) {
    this.#claim = claim;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** From now on it answers. */
  serve(controlled: Controlled): void {
    this.#controlled = controlled;
  }

  /** Frees the name. What is being done is still answered. */
  close(reason: Error): void {
    this.#server.close(); // removes the socket's file
    this.#claim.release();
    for (const connection of this.#connections) connection.close(reason);
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#claim.path, () => {
        this.#server.off('error', reject);
        this.#server.on('error', () => {}); // a connection that could not be accepted, as without a free descriptor
        resolve();
      });
      this.#server.unref();
      this.#claim.protect();
    });
  }

  #accept(socket: Socket): void {
    socket.unref();
    socket.on('error', () => {}); // 'close' follows
    const refusal = this.#refusal(socket);
    if (refusal !== undefined) return this.#refuse(socket, refusal);
    const connection = new Connection(socket, this.#controlled as Controlled);
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  #refuse(socket: Socket, refusal: BallermannError): void {
    if (this.#refused >= MAX_CONNECTIONS) return void socket.destroy();
    this.#refused++;
    socket.once('close', () => this.#refused--);
    hangUp(socket, toFailure(refusal));
  }

  #refusal(socket: Socket): BallermannError | undefined {
    if (this.#controlled === undefined)
      return new BallermannError('ERR_CLOSED', 'the supervisor starts just now');
    if (!isOfOwnUser(socket))
      return new BallermannError('ERR_CONTROL_UNAVAILABLE', 'the supervisor belongs to another user');
    if (this.#connections.size < MAX_CONNECTIONS) return undefined;
    return new BallermannError(
      'ERR_OVERLOAD',
      `the control socket has ${MAX_CONNECTIONS} connections already: try again later`,
    );
  }
}

/** One client. At any time, at most one of its requests is being done. */
class Connection {
  readonly #socket: Socket;
  readonly #controlled: Controlled;
  readonly #lines = new Lines(MAX_REQUEST);
  readonly #ended = new AbortController();
  /** Of the request that is being done; undefined where none is. */
  #running: { readonly verb: Request['verb']; readonly close: () => void } | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isLast = false;

  constructor(socket: Socket, controlled: Controlled) {
    this.#socket = socket;
    this.#controlled = controlled;
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.once('end', () => this.#onEnd());
    socket.once('close', () => this.#onClose());
    this.#wait();
  }

  /** The supervisor has ended. */
  close(reason: Error): void {
    this.#isLast = true;
    if (this.#running === undefined) end(this.#socket);
    else if (this.#running.verb === 'window') this.#ended.abort(reason);
  }

  #wait(): void {
    this.#idle = setTimeout(() => this.#refuse(idle()), MAX_IDLE).unref();
  }

  #read(bytes: Buffer): void {
    try {
      for (const line of this.#lines.add(bytes)) this.#take(parseRequest(line));
    } catch (error) {
      this.#refuse(error instanceof RangeError ? misunderstood(error.message) : error);
    }
  }

  #take(request: Request): void {
    const running = this.#running;
    if (request.verb === 'close') {
      if (running?.verb !== 'window')
        throw misunderstood("'close' ends a window, and this connection has none");
      return running.close();
    }
    if (running !== undefined)
      throw misunderstood(`'${request.verb}' has to wait for the answer to '${running.verb}'`);
    if (this.#isLast) return;
    void this.#perform(request);
  }

  async #perform(request: Exclude<Request, { verb: 'close' }>): Promise<void> {
    clearTimeout(this.#idle);
    const closed = new Promise<void>((close) => {
      this.#running = { verb: request.verb, close };
    });
    const session: Session = { tell: (event) => this.#tell(event), ended: this.#ended.signal, closed };
    let answer: Answer;
    let outlasts = false;
    try {
      const result = await this.#controlled.perform(request, session);
      answer = { result: result ?? null };
      outlasts = request.verb === 'stop' && (result as Stopped).exits;
    } catch (error) {
      answer = toFailure(error);
    }
    this.#running = undefined;
    this.#tell(answer);
    if (outlasts) return; // its end tells the client that the process has ended
    if (this.#isLast) end(this.#socket);
    else this.#wait();
  }

  #tell(answer: Answer): void {
    if (!this.#socket.writable) return;
    if (this.#socket.writableLength > MAX_UNREAD) this.#socket.destroy();
    else this.#socket.write(line(answer));
  }

  /** Nothing more is read of what is not understood. What is being done goes on, but for a window. */
  #refuse(error: unknown): void {
    clearTimeout(this.#idle);
    this.#isLast = true;
    if (this.#running?.verb === 'window') this.#ended.abort(gone());
    this.#socket.removeAllListeners('data');
    hangUp(this.#socket, toFailure(error));
  }

  /** The client sends nothing more. It may still wait for an answer; a window has nobody left who could end it. */
  #onEnd(): void {
    if (this.#lines.hasBegun) return this.#refuse(misunderstood('the connection ended within a line'));
    this.#isLast = true;
    if (this.#running === undefined) end(this.#socket);
    else if (this.#running.verb === 'window') this.#ended.abort(gone());
  }

  #onClose(): void {
    clearTimeout(this.#idle);
    this.#ended.abort(gone());
  }
}

function hangUp(socket: Socket, answer: Answer): void {
  if (socket.writable) socket.write(line(answer));
  end(socket);
}

/**
 * When the client has read all and ends, too: closed before, it would fail to write and never read why. One that does
 * neither is not waited for.
 */
function end(socket: Socket): void {
  socket.resume().end();
  const timer = setTimeout(() => socket.destroy(), MAX_FAREWELL).unref();
  socket.once('close', () => clearTimeout(timer));
}

function line(answer: Answer): string {
  return `${JSON.stringify(answer)}\n`;
}

/** The folder keeps other users out. This holds where somebody has opened it to them. */
function isOfOwnUser(socket: Socket): boolean {
  const { fd } = (socket as { _handle?: { fd?: number } })._handle ?? {};
  if (fd === undefined || fd < 0) return false;
  const user = addon().peerUser(fd);
  return user === process.geteuid?.() || user === 0;
}

function idle(): BallermannError {
  return new BallermannError('ERR_TIMEOUT', `no request for ${MAX_IDLE} ms`);
}

function gone(): BallermannError {
  return new BallermannError('ERR_CLOSED', 'the client has gone');
}
