/**
 * The two buckets that a fleet keeps in NATS: who is there, and who has opened a window. All reads go to the stream's leader:
 * a direct get may be answered by a server that lags behind, and the windows depend on reads that see every earlier write.
 */

import { type Bucket, type KV, type KvEntry, Kvm } from '@nats-io/kv';
import { type NatsConnection, nanos } from '@nats-io/transport-node';
import { BallermannError } from '../errors.js';
import { forbidden } from './connection.js';

/** ms that one request to JetStream may take where nothing else limits it. */
const REQUEST = 5_000;

/**
 * Opens the bucket; makes it where it is not there.
 * @param ttl ms that an entry must live at least. A bucket that lets them live longer is left so: nobody relies on the end.
 * @throws BallermannError ERR_DISCONNECTED where JetStream cannot be reached.
 */
export async function openBucket(nc: NatsConnection, name: string, ttl: number): Promise<KV> {
  try {
    const kv = await created(nc, name, ttl).catch(() => created(nc, name, ttl)); // another may have made it meanwhile
    const { ttl: existing, streamInfo } = await kv.status();
    if (existing !== 0 && existing < ttl)
      await (kv as Bucket).jsm.streams.update(streamInfo.config.name, { max_age: nanos(ttl) });
    return kv;
  } catch (cause) {
    throw unreachable(`the bucket '${name}' cannot be opened`, cause);
  }
}

/** For whatever a fleet needs JetStream for. */
export function unreachable(what: string, cause: unknown): BallermannError {
  if (cause instanceof BallermannError) return cause;
  return (
    forbidden(cause) ??
    new BallermannError(
      'ERR_DISCONNECTED',
      `${what}: is the server reachable, and does it run with JetStream (nats-server -js)?`,
      { cause },
    )
  );
}

function created(nc: NatsConnection, name: string, ttl: number): Promise<KV> {
  return new Kvm(nc).create(name, { ttl, history: 1, allow_direct: false });
}

/** The live entries whose keys fit the pattern, by one look at the stream's subjects and a read of each. */
export async function entriesOf(kv: KV, pattern: string): Promise<KvEntry[]> {
  const { jsm, stream, bucket } = kv as Bucket;
  const prefix = keySubject(bucket, '');
  const { state } = await jsm.streams.info(stream, { subjects_filter: keySubject(bucket, pattern) });
  const keys = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
  const entries = await Promise.all(keys.map((key) => kv.get(key)));
  return entries.filter((entry) => entry !== null && entry.operation === 'PUT') as KvEntry[];
}

/** The subject that what is put under a key is published to. */
export function keySubject(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

/** Settles as `task` does, or rejects after `ms`: a request that was sent while the connection was down takes long. */
export async function within<T>(task: Promise<T>, ms = REQUEST): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`JetStream did not answer within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(timer);
    task.catch(() => {}); // nobody looks any more
  }
}
