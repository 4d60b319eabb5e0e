/** ballermann's replica: the same task as everybody's. */

import { createRequire } from 'node:module';
import { handle } from 'ballermann/replica';
import { workerFile } from '../peers.js';

const task = createRequire(import.meta.url)(workerFile('task')) as (message: unknown) => unknown;

handle(task);
