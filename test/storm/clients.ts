/** Clients that do to a server whatever a client can do, each by chance and for a second at most. */

import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectSecurely, type TLSSocket } from 'node:tls';
import { Frames } from '../support/frames.js';
import { certificate } from '../support/web.js';
import type { Random } from './random.js';

/** Where each server of servers/unruly.mjs listens. */
export type Ports = Readonly<Record<'http' | 'both' | 'compat' | 'streams' | 'sniffing' | 'duplex', number>>;

/** ms for which one stays at most. */
const STAY = 800;

const HTTP1 = ['http', 'sniffing', 'duplex'] as const;
/** What they are asked for has no file: the bare Node, from 20 to 26, crashes where a client of respondWithFile leaves. */
const HTTP2 = ['compat', 'streams'] as const;

const PATHS = ['/', '/slow', '/upload', '/removes', '/detaches', '/events', '/big'] as const;

/** What TLS begins with: a handshake record, whose rest never comes or is nonsense. */
const CLIENT_HELLO = Buffer.from('16030100c8010000c40303', 'hex');

type Way = (random: Random, ports: Ports) => Promise<void>;

/** By name, as the figures show them. */
export const ways: Readonly<Record<string, Way>> = {
  /** The text of some requests, cut anywhere. */
  cut: async (random, ports) => {
    const text = requests(random, random.between(1, 3));
    await talk(random, to(random, ports), text.slice(0, random.below(text.length + 1)));
  },
  pipelining: (random, ports) => talk(random, to(random, ports), requests(random, random.between(2, 12))),
  /** Its own side is closed when it has asked. */
  halfOpen: async (random, ports) => {
    const socket = to(random, ports);
    socket.end(requests(random, 1));
    await leave(random, socket);
  },
  deaf: async (random, ports) => {
    const socket = to(random, ports).pause();
    socket.write('GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(random.between(1, 4)));
    await leave(random, socket);
  },
  mute: (random, ports) => talk(random, to(random, ports), ''),
  garbage: (random, ports) => talk(random, to(random, ports), noise(random, random.between(1, 200))),
  upgrade: async (random, ports) => {
    const socket = to(random, ports, 'http');
    const path = random.weighted([['/', 2] as const, ['/removes', 1] as const]);
    const early = random.weighted([['', 2] as const, ['early data', 1] as const]);
    await talk(
      random,
      socket,
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n${early}`,
    );
  },
  upload: async (random, ports) => {
    const socket = to(random, ports);
    const size = random.between(1, 200_000);
    const sent = random.weighted([[size, 1] as const, [random.below(size), 2] as const]);
    const head = `POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n`;
    const expects = random.weighted([['', 2] as const, ['Expect: 100-continue\r\n', 1] as const]);
    socket.write(`${head}${expects}\r\n`);
    await talk(random, socket, Buffer.alloc(sent, '.'));
  },
  chunked: (random, ports) =>
    talk(
      random,
      to(random, ports),
      `POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${noise(random, 8).toString('latin1')}`,
    ),
  handshake: async (random, ports) => {
    const socket = to(random, ports, random.weighted([['sniffing', 1] as const, ['both', 1] as const]));
    const bytes = Buffer.concat([CLIENT_HELLO, noise(random, random.below(300))]);
    await talk(random, socket, bytes.subarray(0, random.between(1, bytes.length)));
  },
  secure: async (random, ports) => {
    const port = random.weighted([[ports.sniffing, 1] as const, [ports.both, 1] as const]);
    const socket = connectSecurely({ ...certificate, port, host: '127.0.0.1' });
    const text = requests(random, random.between(1, 3));
    await talk(random, quiet(socket), text.slice(0, random.between(1, text.length)));
  },
  /** Frames that are none, or too long. */
  frames: async (random, ports) => {
    const socket = to(random, ports, random.weighted(HTTP2.map((name) => [name, 1] as const)));
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
    await sleep(random.below(20));
    const frame = Buffer.alloc(9 + random.below(20_000));
    frame.writeUIntBE(random.weighted([[frame.length - 9, 2] as const, [2 ** 24 - 1, 1] as const]), 0, 3);
    frame[3] = random.below(12);
    frame[4] = random.below(256);
    frame.writeUInt32BE(random.below(9), 5);
    await talk(random, socket, frame);
  },
  /** Streams that are open when an error ends their session. */
  failing: async (random, ports) => {
    const client = new Frames(ports[random.weighted(HTTP2.map((name) => [name, 1] as const))]);
    const paths = Array.from({ length: random.between(1, 4) }, () =>
      random.weighted(['/', '/never', '/slow'].map((path) => [path, 1] as const)),
    );
    for (const [i, path] of paths.entries()) client.get(2 * i + 1, path);
    if (random.below(2) === 0) await sleep(random.below(30));
    client.fail();
    await leave(random, client.socket);
  },
  streams: async (random, ports) => {
    const name = random.weighted([...HTTP2.map((each) => [each, 2] as const), ['both', 1] as const]);
    const isSecure = name === 'both';
    const socket = isSecure
      ? connectSecurely({ ...certificate, port: ports.both, host: '127.0.0.1', ALPNProtocols: ['h2'] })
      : connect(ports[name], '127.0.0.1');
    quiet(socket);
    const authority = `${isSecure ? 'https' : 'http'}://127.0.0.1:${ports[name]}`;
    const session = connectHttp2(authority, { createConnection: () => socket });
    session.on('error', () => {});
    await Promise.race([new Promise((resolve) => session.once('remoteSettings', resolve)), sleep(STAY)]);
    const streams = Array.from({ length: random.between(1, 8) }, () =>
      ask(random, session, name === 'streams'),
    );
    await sleep(random.below(STAY / 2));
    for (const stream of streams) if (random.below(2) === 0) stream?.close(random.below(14));
    await sleep(random.below(STAY / 2));
    random.weighted<() => unknown>([
      [() => session.close(), 1],
      [() => session.destroy(), 1],
      [() => !session.destroyed && session.goaway(random.below(14)), 1],
      [() => reset(socket), 2],
    ])();
    await sleep(random.below(50));
    session.destroy();
    socket.destroy();
  },
};

function ask(random: Random, session: ClientHttp2Session, mayTunnel: boolean): ClientHttp2Stream | undefined {
  if (session.destroyed || session.closed) return undefined;
  const isTunnel = mayTunnel && session.remoteSettings.enableConnectProtocol && random.below(4) === 0;
  const method = random.weighted([['GET', 2] as const, ['POST', 3] as const, ['HEAD', 1] as const]);
  const path = random.weighted(['/', '/never', '/drains', '/slow'].map((each) => [each, 1] as const));
  const stream = session.request(
    isTunnel
      ? { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path }
      : { ':method': method, ':path': path },
    { endStream: !isTunnel && method !== 'POST' },
  );
  stream.on('error', () => {});
  if (random.below(3) > 0) stream.resume();
  if (!stream.writableEnded) stream.write(Buffer.alloc(random.below(120_000)));
  if (!isTunnel && random.below(2) === 0) stream.end();
  return stream;
}

function to(random: Random, ports: Ports, name?: keyof Ports): Socket {
  const port = ports[name ?? random.weighted(HTTP1.map((each) => [each, 1] as const))];
  return quiet(connect({ port, host: '127.0.0.1', allowHalfOpen: random.below(4) === 0 }));
}

function quiet<S extends Socket | TLSSocket>(socket: S): S {
  socket.on('error', () => {}).resume();
  return socket;
}

/** Says it in some pieces, waits a while, leaves. */
async function talk(random: Random, socket: Socket, text: string | Buffer): Promise<void> {
  const bytes = Buffer.from(text as string, 'latin1');
  const at = random.below(bytes.length + 1);
  socket.write(bytes.subarray(0, at));
  if (random.below(2) === 0) await sleep(random.below(30));
  socket.write(bytes.subarray(at));
  await leave(random, socket);
}

async function leave(random: Random, socket: Socket): Promise<void> {
  await sleep(
    random.weighted([[0, 1] as const, [random.below(20), 2] as const, [random.below(STAY), 2] as const]),
  );
  random.weighted<() => unknown>([
    [() => socket.destroy(), 1],
    [() => reset(socket), 2],
    [() => socket.end(), 1],
  ])();
  await sleep(20);
  socket.destroy();
}

/** Node resets no socket of TLS. */
function reset(socket: Socket): void {
  if ('encrypted' in socket) socket.destroy();
  else socket.resetAndDestroy();
}

function requests(random: Random, count: number): string {
  return Array.from({ length: count }, () => {
    const path = random.weighted(PATHS.map((each) => [each, 1] as const));
    const end = random.weighted([['', 3] as const, ['Connection: close\r\n', 1] as const]);
    return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${end}\r\n`;
  }).join('');
}

function noise(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}
