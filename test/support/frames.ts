/** A client of HTTP/2 that sends frame by frame (RFC 9113, 4 and 6), and does not do what a GOAWAY asks of it. */

import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectSecurely } from 'node:tls';

const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const GOAWAY = 7;

const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;

/** Fields of the static table (RFC 7541, appendix A); of two of them the name alone, with a literal value. */
const METHOD_GET = 0x82;
const METHOD_POST = 0x83;
const SCHEME_HTTP = 0x86;
const AUTHORITY = 0x01;
const PATH = 0x04;
const STATUS_200 = 0x88;

export class Frames implements Disposable {
  readonly socket: Socket;
  /** The last stream that may have been served, as each GOAWAY says it. */
  readonly goaways: number[] = [];
  /** Streams whose answer was 200 and is complete. */
  readonly answered: number[] = [];
  readonly #good = new Set<number>();
  ended = false;
  /** Whether the server's SETTINGS are acknowledged at once. */
  acknowledges = true;
  #rest = Buffer.alloc(0);

  constructor(port: number, secret?: ConnectionOptions) {
    this.socket =
      secret === undefined
        ? connect(port, '127.0.0.1')
        : connectSecurely({ ...secret, port, host: '127.0.0.1', ALPNProtocols: ['h2'] });
    this.socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    this.#send(SETTINGS, 0, 0);
    this.socket.on('data', (part) => this.#read(part));
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('error', () => {});
  }

  /** @param stream odd, and higher than the one before. */
  get(stream: number, path: string): void {
    this.#send(HEADERS, END_STREAM | END_HEADERS, stream, request(METHOD_GET, path));
  }

  /** Sends a part of a body too, whose end does not come. */
  post(stream: number, path: string): void {
    this.#send(HEADERS, END_HEADERS, stream, request(METHOD_POST, path));
    this.#send(DATA, 0, stream, Buffer.of(0));
  }

  acknowledge(): void {
    this.#send(SETTINGS, ACK, 0);
  }

  /** Sends what is an error of the whole connection: data on no stream (RFC 9113, 6.1). */
  fail(): void {
    this.#send(DATA, 0, 0, Buffer.of(0));
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #send(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    this.socket.write(Buffer.concat([head, payload]));
  }

  #read(part: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, part]);
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      this.#take(
        this.#rest[3] as number,
        this.#rest[4] as number,
        this.#rest.readUInt32BE(5),
        this.#rest.subarray(9, end),
      );
      this.#rest = this.#rest.subarray(end);
    }
  }

  #take(type: number, flags: number, stream: number, payload: Buffer): void {
    if (type === SETTINGS && flags !== ACK && this.acknowledges) this.acknowledge();
    if (type === GOAWAY) this.goaways.push(payload.readUInt32BE(0));
    if (type === HEADERS && payload[0] === STATUS_200) this.#good.add(stream);
    const isAnswer = type === HEADERS || type === DATA;
    if (isAnswer && flags & END_STREAM && this.#good.has(stream)) this.answered.push(stream);
  }
}

function request(method: number, path: string): Buffer {
  const fields = [Buffer.of(method, SCHEME_HTTP), literal(AUTHORITY, 'localhost'), literal(PATH, path)];
  return Buffer.concat(fields);
}

function literal(name: number, value: string): Buffer {
  return Buffer.concat([Buffer.of(name, value.length), Buffer.from(value)]);
}
