/** Finds the nats-server of this machine, for tests, benches and the test of the package. */
import { delimiter, join } from 'node:path';
import { hasCommand } from './compiler.js';

/** Debian puts it there, and only root has that on the PATH. */
const BESIDES = ['/usr/sbin', '/usr/local/sbin'];

/** @returns its path; undefined where there is none. */
export function findNatsServer() {
  return [...(process.env.PATH ?? '').split(delimiter), ...BESIDES]
    .map((place) => join(place, 'nats-server'))
    .find((path) => path.includes('/') && hasCommand(path));
}

/** What to type where there is none. */
export const installNatsServer =
  process.platform === 'darwin'
    ? 'brew install nats-server'
    : 'apt-get install nats-server, or https://docs.nats.io/running-a-nats-service/introduction/installation';
