/** Everybody that can send a message to two workers and get a reply, behind one function. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { balance, call, type Selection, supervise } from 'ballermann';
import { peer, workerFile } from '../peers.js';
import { ADVANCED, BALLERMANN_MANY, BARE_ADVANCED, BARE_MANY, MANY } from './cases.js';
import type { Message, Reply } from './messages.js';

export const WORKERS = 2;

/** The others have no time limit. On a busy machine a thousand large messages take their time. */
const PATIENT = { timeout: 60_000 };

export interface Contender {
  call(message: Message): Promise<Reply>;
  close(): Promise<unknown>;
}

/** How each is started; the measurement begins with a warm-up, which also waits for workers that start late. */
export const contenders: Readonly<Record<string, () => Promise<Contender>>> = {
  ballermann: () => ballermann({}),
  [ADVANCED]: () => ballermann({ serialization: 'advanced' }),
  'ballermann (least-queue)': () => ballermann({ selection: 'least-queue' }),
  [BALLERMANN_MANY]: () => ballermann({ workers: MANY }),
  'bare send': () => bareSend({}),
  [BARE_ADVANCED]: () => bareSend({ serialization: 'advanced' }),
  [BARE_MANY]: () => bareSend({ workers: MANY }),
  poolifier,
  workerpool,
  'jest-worker': jestWorker,
  tinypool,
  'piscina (threads)': piscina,
};

interface Settings {
  readonly workers?: number;
  readonly serialization?: 'json' | 'advanced';
  readonly selection?: Selection;
}

async function ballermann({
  workers = WORKERS,
  serialization = 'json',
  selection = 'round-robin',
}: Settings): Promise<Contender> {
  const supervisor = await supervise({
    exec: new URL('./replica.js', import.meta.url),
    replicas: workers,
    serialization,
  });
  await balance(supervisor, 'bench', { selection });
  return { call: (message) => call<Reply>('bench', message, PATIENT), close: () => supervisor.close() };
}

/** process.send to forks in turn, one message a call: what Node itself offers. */
async function bareSend({ workers = WORKERS, serialization = 'json' }: Settings): Promise<Contender> {
  const forks = Array.from({ length: workers }, () => fork(workerFile('bare'), { serialization }));
  const waiting = new Map<number, (reply: Reply) => void>();
  let id = 0;
  for (const child of forks) {
    child.on('message', (answer: { id: number; reply: Reply }) => {
      waiting.get(answer.id)?.(answer.reply);
      waiting.delete(answer.id);
    });
  }
  return {
    call: (message) =>
      new Promise((resolve) => {
        id++;
        waiting.set(id, resolve);
        (forks[id % workers] as ChildProcess).send({ id, message });
      }),
    close: () => Promise.all(forks.map(end)),
  };
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}

async function poolifier(): Promise<Contender> {
  interface Pool {
    execute(message: Message): Promise<Reply>;
    destroy(): Promise<void>;
  }
  type PoolClass = new (size: number, file: string, options: object) => Pool;
  const FixedClusterPool = await peer<PoolClass>('poolifier', 'FixedClusterPool');
  const errorHandler = (error: Error): never => {
    throw error;
  };
  const pool = new FixedClusterPool(WORKERS, workerFile('poolifier'), { errorHandler });
  return { call: (message) => pool.execute(message), close: () => pool.destroy() };
}

async function workerpool(): Promise<Contender> {
  interface Pool {
    exec(name: string, args: Message[]): PromiseLike<Reply>;
    terminate(): PromiseLike<unknown>;
  }
  const makePool = await peer<(file: string, options: object) => Pool>('workerpool', 'pool');
  const pool = makePool(workerFile('workerpool'), {
    workerType: 'process',
    minWorkers: WORKERS,
    maxWorkers: WORKERS,
  });
  return {
    call: async (message) => pool.exec('task', [message]),
    close: async () => pool.terminate(),
  };
}

async function jestWorker(): Promise<Contender> {
  interface Pool {
    task(message: Message): Promise<Reply>;
    end(): Promise<unknown>;
  }
  const Worker = await peer<new (file: string, options: object) => Pool>('jest-worker', 'Worker');
  const pool = new Worker(workerFile('jest-worker'), { numWorkers: WORKERS, exposedMethods: ['task'] });
  return { call: (message) => pool.task(message), close: () => pool.end() };
}

interface ThreadPool {
  run(message: Message): Promise<Reply>;
  destroy(): Promise<void>;
}

type ThreadPoolClass = new (options: object) => ThreadPool;

async function tinypool(): Promise<Contender> {
  return threadPool(await peer('tinypool', 'Tinypool'), { runtime: 'child_process' });
}

async function piscina(): Promise<Contender> {
  return threadPool(await peer('piscina', 'Piscina'), {});
}

function threadPool(Pool: ThreadPoolClass, options: object): Contender {
  const size = { minThreads: WORKERS, maxThreads: WORKERS };
  const pool = new Pool({ filename: workerFile('task'), ...size, ...options });
  return { call: (message) => pool.run(message), close: () => pool.destroy() };
}
