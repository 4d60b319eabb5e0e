/**
 * Runs in each replica before the user's script: makes the process a replica. dist/preload.cjs is all of it in one
 * CommonJS file, which src/replica/boot.cts runs: no loader hook of the script's has a part in it, and one file is read
 * and compiled instead of forty.
 */

import { isMainThread } from 'node:worker_threads';
import { takeReplicaEnv } from '../channel/environment.js';
import { ReplicaRuntime } from './runtime.js';

// The flag is inherited by worker threads and by node processes that a replica forks: they are no replicas.
const env = isMainThread ? takeReplicaEnv(process.env) : undefined;
if (env !== undefined) ReplicaRuntime.start(env);
