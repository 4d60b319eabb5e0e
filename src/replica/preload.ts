/**
 * Runs in each replica before the user's script (`node --require`, so without top-level await): makes the process a
 * replica.
 */

import { isMainThread } from 'node:worker_threads';
import { takeReplicaEnv } from '../channel/environment.js';
import { ReplicaRuntime } from './runtime.js';

// The flag is inherited by worker threads and by node processes that a replica forks: they are no replicas.
const env = isMainThread ? takeReplicaEnv(process.env) : undefined;
if (env !== undefined) ReplicaRuntime.start(env);
