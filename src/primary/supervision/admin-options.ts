/** The option `admin` of supervise: where the admin server listens, and who may ask it. */

import { isIPv4 } from 'node:net';
import { badRange, checkInteger, checkOptions, checkString } from '../../arguments.js';

export interface AdminOptions {
  /** The port; 0 for a free one, which `supervisor.admin` names. */
  port: number;
  /** The address to listen on. One that is not loopback needs a `token`. @default '127.0.0.1' */
  host?: string;
  /**
   * What callers have to show for everything but `/live` and `/ready`. 16 to 256 printable ASCII characters, no spaces.
   * @default none
   */
  token?: string;
}

export interface AdminSettings {
  readonly port: number;
  readonly host: string;
  /** Whether only this machine reaches it. */
  readonly isLoopback: boolean;
  readonly token: string | undefined;
}

const [SHORTEST_TOKEN, LONGEST_TOKEN] = [16, 256];

/** @throws TypeError or RangeError that names the option. */
export function adminSettings(admin: number | AdminOptions | undefined): AdminSettings | undefined {
  if (admin === undefined) return undefined;
  if (typeof admin === 'number') return adminSettings({ port: checkPort('options.admin', admin) });
  const { port, host = '127.0.0.1', token } = checkOptions('options.admin', admin, ['port', 'host', 'token']);
  const checked = {
    port: checkPort('options.admin.port', port),
    host: checkString('options.admin.host', host),
    token: token === undefined ? undefined : checkToken(token),
  };
  if (checked.host === '') throw badRange('options.admin.host', 'an address or a name', host); // Node: all addresses
  const isLoopback = checked.host === 'localhost' || isLoopbackAddress(checked.host);
  if (!isLoopback && checked.token === undefined)
    throw badRange('options.admin.token', `set if others can reach the host ${checked.host}`, token);
  return { ...checked, isLoopback };
}

/** Of the spellings of a loopback address only the usual ones: any other needs a token, which does no harm. */
export function isLoopbackAddress(host: string): boolean {
  return host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

function checkPort(name: string, port: unknown): number {
  return checkInteger(name, port, 0, 65_535);
}

/** The error does not show the token: errors are logged. */
function checkToken(token: unknown): string {
  const expected = `${SHORTEST_TOKEN} to ${LONGEST_TOKEN} printable ASCII characters without spaces`;
  const text = checkString('options.admin.token', token);
  if (/^[\x21-\x7e]+$/.test(text) && text.length >= SHORTEST_TOKEN && text.length <= LONGEST_TOKEN)
    return text;
  throw badRange('options.admin.token', expected, `a string of length ${text.length}`);
}
