/** What `pid`, `call` and the like do in this process: three roles implement it, index.ts picks one. */

import type { CallOptions, PingOptions, TransactionOptions } from '../options.js';
import type { Balancer, Wait } from '../primary/pools/balancer.js';
import type { BalancerOptions } from '../primary/pools/balancer-options.js';
import type { WindowContext, WindowOptions } from '../primary/pools/windows.js';
import type { Supervisor } from '../primary/supervision/supervisor.js';
import type { SupervisorOptions } from '../primary/supervision/supervisor-options.js';

export interface Local {
  supervise(options: SupervisorOptions): Promise<Supervisor>;
  balance(supervisor: Supervisor, name: string, ratio?: number | BalancerOptions): Promise<Balancer>;
  pid(name: string): number;
  call<Reply = unknown>(target: string | number, message: unknown, options?: CallOptions): Promise<Reply>;
  cast(target: string | number, message: unknown): void;
  ping(pid: number, options?: PingOptions): Promise<void>;
  applyWithin<T>(
    name: string,
    fn: (context: WindowContext) => T | PromiseLike<T>,
    wait?: Wait,
    options?: WindowOptions,
  ): Promise<T>;
  transaction<T>(
    name: string,
    fn: (pid: number) => T | PromiseLike<T>,
    options?: TransactionOptions,
  ): Promise<T>;
  map<T>(name: string, fn: (pid: number) => T | PromiseLike<T>): Promise<Awaited<T>[]>;
  refresh(name: string): Promise<void>;
  pool(name: string): Balancer;
}
