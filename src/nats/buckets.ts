/**
 * The two buckets that a fleet keeps in NATS: who is there, and who has opened a window. All reads go to the stream's leader:
 * a direct get may be answered by a server that lags behind, and the windows depend on reads that see every earlier write.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Bucket,
  type KV,
  type KvDeleteOptions,
  type KvEntry,
  Kvm,
  type KvPutOptions,
  type KvStatus,
} from '@nats-io/kv';
import { type NatsConnection, nanos } from '@nats-io/transport-node';
import { BallermannError, toErrorData } from '../errors.js';
import { forbidden, lossesOf } from './connection.js';

/** Copies of a bucket, each on a server of its own. */
const COPIES = 3;

/** ms that one request to JetStream may take where nothing else limits it. */
const REQUEST = 5_000;

/** ms between two looks at a bucket that another one is making. */
const AGAIN = 10;

/**
 * One of them. A server that comes back without its store has lost the bucket: whoever misses it makes it again. A server before
 * 2.9.15 crashes when it is asked for what is in a stream that it is just making. So nothing is read before the bucket is known
 * to be whole: by whoever opens or makes it, and again after each loss of the connection.
 */
export class FleetBucket {
  readonly #nc: NatsConnection;
  readonly #name: string;
  readonly #ttl: number;
  #found: Found;
  #making: Promise<Found> | undefined;

  private constructor(nc: NatsConnection, name: string, ttl: number, found: Found) {
    this.#nc = nc;
    this.#name = name;
    this.#ttl = ttl;
    this.#found = found;
  }

  /**
   * Makes the bucket where it is not there.
   * @param ttl ms that an entry must live at least. A bucket that lets them live longer is left so: nobody relies on the end.
   * @throws BallermannError ERR_DISCONNECTED where JetStream cannot be reached.
   */
  static async open(nc: NatsConnection, name: string, ttl: number): Promise<FleetBucket> {
    return new FleetBucket(nc, name, ttl, await opened(nc, name, ttl));
  }

  get(key: string): Promise<KvEntry | null> {
    return this.#read((kv) => kv.get(key));
  }

  /** @returns the revision. */
  put(key: string, value: string, options: Partial<KvPutOptions>): Promise<number> {
    return this.#with((kv) => kv.put(key, value, options));
  }

  delete(key: string, options?: Partial<KvDeleteOptions>): Promise<void> {
    return this.#with((kv) => kv.delete(key, options));
  }

  /** The live entries whose keys fit the pattern, by one look at the stream's subjects and a read of each. */
  entries(pattern: string): Promise<KvEntry[]> {
    return this.#read(async (kv) => {
      const { jsm, stream, bucket } = kv as Bucket;
      const prefix = keySubject(bucket, '');
      const { state } = await jsm.streams.info(stream, { subjects_filter: keySubject(bucket, pattern) });
      const keys = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
      const entries = await Promise.all(keys.map((key) => kv.get(key)));
      return entries.filter((entry) => entry !== null && entry.operation === 'PUT') as KvEntry[];
    });
  }

  #read<T>(task: (kv: KV) => Promise<T>): Promise<T> {
    return this.#with(async (kv) => {
      const losses = lossesOf(this.#nc);
      if (losses !== this.#found.losses) {
        await whole(kv);
        this.#found = { kv, losses };
      }
      return task(kv);
    });
  }

  /** It never waits for the bucket to be made again by another: what is put is heard even where nothing stores it. */
  async #with<T>(task: (kv: KV) => Promise<T>): Promise<T> {
    try {
      return await task(this.#found.kv);
    } catch (error) {
      if (!isGone(error)) throw error;
      await this.#make();
      return task(this.#found.kv);
    }
  }

  async #make(): Promise<void> {
    this.#making ??= opened(this.#nc, this.#name, this.#ttl).finally(() => {
      this.#making = undefined;
    });
    this.#found = await this.#making;
  }
}

/** The bucket when it was last known to be whole. */
interface Found {
  readonly kv: KV;
  /** How often the connection had been lost by then. */
  readonly losses: number;
}

async function opened(nc: NatsConnection, name: string, ttl: number): Promise<Found> {
  try {
    const losses = lossesOf(nc);
    const kv = await created(nc, name, ttl).catch(() => created(nc, name, ttl)); // another may have made it meanwhile
    const { ttl: existing, replicas, streamInfo } = await whole(kv);
    const { jsm, stream } = kv as Bucket;
    if (existing !== 0 && existing < ttl) await jsm.streams.update(stream, { max_age: nanos(ttl) });
    // The cluster may not have been complete when it was made. Where it has not so many servers, one copy has to do. A server that is
    // in no cluster takes the number, and after a restart refuses its own bucket for it (2.9.10): such a one is not asked.
    if (replicas < COPIES && streamInfo.cluster !== undefined)
      await jsm.streams.update(stream, { num_replicas: COPIES }).catch(() => {});
    return { kv, losses };
  } catch (cause) {
    throw unreachable(`the bucket '${name}' cannot be opened`, cause);
  }
}

/** Resolves once the server has made the bucket. It knows the time of that from then on; before, it tells the zero of its clock. */
async function whole(kv: KV): Promise<KvStatus> {
  for (;;) {
    const status = await kv.status();
    if (Date.parse(status.streamInfo.created) > 0) return status;
    await sleep(AGAIN);
  }
}

/** What a read and a write of a stream that is not there end with. */
function isGone(error: unknown): boolean {
  return error instanceof Error && ['StreamNotFoundError', 'JetStreamNotEnabled'].includes(error.name);
}

/** For whatever a fleet needs JetStream for. */
export function unreachable(what: string, cause: unknown): BallermannError {
  if (cause instanceof BallermannError) return cause;
  const refusal = forbidden(cause);
  if (refusal !== undefined) return refusal;
  const { name, message } = toErrorData(cause);
  const reason =
    name === 'JetStreamNotEnabled'
      ? "the server has no JetStream. Start it with 'nats-server -js', or put 'jetstream {}' into its configuration"
      : message;
  return new BallermannError('ERR_DISCONNECTED', `${what}: ${reason}`, { cause });
}

/** One that is there is taken as it is. */
async function created(nc: NatsConnection, name: string, ttl: number): Promise<KV> {
  const options = { ttl, history: 1, allow_direct: false };
  const buckets = new Kvm(nc);
  try {
    return await buckets.create(name, { ...options, replicas: COPIES });
  } catch (error) {
    if ((error as Error).name !== 'JetStreamApiError') throw error;
    return buckets.create(name, options); // it has not so many servers
  }
}

/** Of the server's error "JetStream system temporarily unavailable". */
const NOT_AVAILABLE = 10_008;

/** Whether it failed for want of an answer: a cluster that elects a leader gives none, or says so, and does later. */
export function isUnanswered(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const isLate = error.name === 'TimeoutError' || (error as { code?: unknown }).code === NOT_AVAILABLE;
  return isLate || isUnanswered(error.cause);
}

/** The subject that what is put under a key is published to. */
export function keySubject(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

/** Settles as `task` does, or rejects after `ms`: a request that was sent while the connection was down takes long. */
export async function within<T>(task: Promise<T>, ms = REQUEST): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`JetStream did not answer within ${Math.round(ms)} ms`);
      error.name = 'TimeoutError';
      reject(error);
    }, ms);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(timer);
    task.catch(() => {}); // nobody looks any more
  }
}
