/** A replica: does a piece of work, and says where. */

import { handle } from 'ballermann/replica';

handle(({ n }) => ({ square: n * n, machine: process.ppid, replica: process.pid }));
