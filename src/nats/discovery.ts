/**
 * A member as a micro service of NATS: answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, to all, by name and by id, as ADR-32 has
 * it, so that the tools of NATS see it.
 */

import type { NatsConnection } from '@nats-io/transport-node';
import { packageVersion } from '../package-files.js';
import { publish, subscribe, unsubscribe } from './connection.js';
import type { Tally } from './serving.js';
import { callSubject, QUEUE } from './subjects.js';

export interface Service {
  readonly name: string;
  readonly id: string;
  readonly pool: string;
  readonly tally: Tally;
}

/** @returns what ends it. */
export function answerDiscovery(nc: NatsConnection, { name, id, pool, tally }: Service): () => void {
  const started = new Date().toISOString();
  const identity = { name, id, version: version(), metadata: { 'ballermann.pool': pool } };
  const endpoint = { name: 'call', subject: callSubject(pool), queue_group: QUEUE };
  const answers = {
    PING: () => identity,
    INFO: () => ({
      ...identity,
      description: `the pool '${pool}' of ballermann`,
      endpoints: [{ ...endpoint, metadata: null }],
    }),
    STATS: () => {
      const { requests, errors, lastError, processing } = tally;
      const nanoseconds = Math.round(processing * 1e6);
      const figures = {
        num_requests: requests,
        num_errors: errors,
        last_error: lastError,
        processing_time: nanoseconds,
        average_processing_time: requests === 0 ? 0 : Math.round(nanoseconds / requests),
      };
      return { ...identity, started, endpoints: [{ ...endpoint, ...figures }] };
    },
  };
  // Where it may not subscribe to one of these, it is not found by that.
  const subscriptions = Object.entries(answers).flatMap(([verb, answer]) =>
    [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.${id}`].map((subject) =>
      subscribe(nc, subject, ({ reply }) => {
        const type = `io.nats.micro.v1.${verb.toLowerCase()}_response`;
        if (reply) publish(nc, reply, JSON.stringify({ type, ...answer() }));
      }),
    ),
  );
  return () => {
    for (const one of subscriptions) unsubscribe(one);
  };
}

/** A service has to have one. '0.0.0' where a bundler has moved this file out of its package. */
function version(): string {
  try {
    return packageVersion();
  } catch {
    return '0.0.0';
  }
}
