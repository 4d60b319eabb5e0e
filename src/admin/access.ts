/** Who may ask the admin server: callers that know its token, and no page of another site. */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type AdminSettings, isLoopbackAddress } from '../primary/supervision/admin-options.js';

/** Why a request is refused: the status and one sentence. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly text: string;
}

export class Access {
  readonly #settings: AdminSettings;
  /** Of both sides of a comparison: digests of one length, which say nothing of what was compared. */
  readonly #key = randomBytes(32);
  /** What the page's cookie holds. It follows from the token, so that it outlives a restart of the primary. */
  readonly #session: string | undefined;

  constructor(settings: AdminSettings) {
    this.#settings = settings;
    if (settings.token !== undefined)
      this.#session = createHmac('sha256', settings.token).update('ballermann admin session').digest('hex');
  }

  /**
   * Undefined where the request may come from wherever it says.
   *
   * A page of another site can have a browser ask a server on loopback. It cannot read the answer, unless its own name resolves to
   * loopback (DNS rebinding): then that name is in the Host header.
   */
  foreign({ headers }: IncomingMessage): Refusal | undefined {
    if (this.#settings.isLoopback && !isLoopbackName(headers.host))
      return forbidden('The Host header has to name this machine: localhost, 127.0.0.1 or [::1].');
    // What it cannot read it could still keep open. A link to the page is no harm.
    if (headers['sec-fetch-site'] === 'cross-site' && headers['sec-fetch-mode'] !== 'navigate')
      return forbidden('Pages of other sites are not answered.');
    return undefined;
  }

  /** Undefined where the caller has shown the token, or needs none. */
  unauthorized(request: IncomingMessage): Refusal | undefined {
    const { token } = this.#settings;
    if (token === undefined || this.#session === undefined) return undefined;
    const bearer = /^Bearer +([\x21-\x7e]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    if (bearer !== undefined && this.#isSame(bearer, token)) return undefined;
    const cookie = cookieOf(request, this.#cookieName(request));
    if (cookie !== undefined && this.#isSame(cookie, this.#session)) return undefined;
    const how = 'a header Authorization: Bearer TOKEN, or /?token=TOKEN once in a browser';
    return { status: 401, text: `This needs the token of the admin server: ${how}.` };
  }

  /** The Set-Cookie for a browser that has shown the token in the address; undefined where that is not the token. */
  cookieFor(request: IncomingMessage, shown: string): string | undefined {
    const { token } = this.#settings;
    if (token === undefined || this.#session === undefined || !this.#isSame(shown, token)) return undefined;
    // Lax: who follows a link to the page is to have the cookie where that link sends him on.
    return `${this.#cookieName(request)}=${this.#session}; HttpOnly; SameSite=Lax; Path=/`;
  }

  #isSame(one: string, other: string): boolean {
    const digest = (text: string): Buffer => createHmac('sha256', this.#key).update(text).digest();
    return timingSafeEqual(digest(one), digest(other));
  }

  /** Cookies do not tell the ports of a host apart, so the name does. */
  #cookieName({ socket }: IncomingMessage): string {
    return `ballermann_admin_${socket.localPort}`;
  }
}

function forbidden(text: string): Refusal {
  return { status: 403, text };
}

/** The port does not matter: a tunnel may have another. */
function isLoopbackName(host: string | undefined): boolean {
  const name = host?.replace(/:\d+$/, '').toLowerCase();
  return name === 'localhost' || name === '[::1]' || (name !== undefined && isLoopbackAddress(name));
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}
