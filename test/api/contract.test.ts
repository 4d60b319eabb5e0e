/** A handler's type is the contract of its pool: what it says of messages and replies, to the compiler. It is nothing else. */

import { type Balancer, balance, call, cast, type MessageOf, pool, type ReplyOf } from 'ballermann';
import { handle } from 'ballermann/replica';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { start } from '../support/helpers.js';

interface Sum {
  readonly a: number;
  readonly b: number;
}

/** The handler of test/fixtures/echo.mjs. */
type Echo = (message: Sum) => Promise<{ readonly echo: Sum }>;

/** true where A and B are one type, so that the compiler refuses `same<...>()` where they are not. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_Check extends true>(): void {}

/** Compiled and never called. */
export function compiled(echo: Balancer<Echo>, untyped: Balancer): void {
  same<Same<MessageOf<Echo>, Sum>>();
  same<Same<ReplyOf<Echo>, { readonly echo: Sum }>>();
  same<Same<MessageOf<number>, unknown>>(); // no contract: any message
  same<Same<ReplyOf<number>, number>>();
  same<Same<ReplyOf<(message: Sum) => 'at once'>, 'at once'>>();
  same<Same<MessageOf<() => number>, unknown>>();
  same<Same<ReplyOf<unknown>, unknown>>();

  const add = handle(async ({ a, b }: Sum) => a + b);
  same<Same<ReplyOf<typeof add>, number>>();
  same<Same<MessageOf<typeof add>, Sum>>();
  const first = handle<Sum>(({ a }) => a); // the message alone
  same<Same<MessageOf<typeof first>, Sum>>();
  handle((message) => same<Same<typeof message, unknown>>());
  handle((_: Sum, { signal, kind }) =>
    same<Same<[typeof signal, typeof kind], [AbortSignal, 'call' | 'cast']>>(),
  );

  const reply = echo.call({ a: 1, b: 2 }, { timeout: 1 });
  same<Same<typeof reply, Promise<{ readonly echo: Sum }>>>();
  echo.cast({ a: 1, b: 2 });
  // @ts-expect-error: no such message
  echo.call({ a: 1 });
  // @ts-expect-error: no such message
  echo.cast('text');
  // @ts-expect-error: the contract says what the reply is, not its reader
  const text: Promise<string> = echo.call({ a: 1, b: 2 });

  const byName = call<typeof add>('adders', { a: 1, b: 2 });
  same<Same<typeof byName, Promise<number>>>();
  // @ts-expect-error: no such message
  call<typeof add>('adders', 'text');
  // @ts-expect-error: no such message
  cast<typeof add>('adders', { a: 1 });
  const found = pool<Echo>('echo');
  same<Same<typeof found, Balancer<Echo>>>();

  const any = untyped.call('anything');
  same<Same<typeof any, Promise<unknown>>>();
  const number = call<number>('adders', 'anything'); // only the reply
  same<Same<typeof number, Promise<number>>>();
  const told = untyped.call<number>('anything');
  same<Same<typeof told, Promise<number>>>();
  const general: Balancer = echo; // a function for any pool takes it
  void [text, general];
}

test('a pool with a contract is the pool that it is without one', async () => {
  await using supervisor = await start({ replicas: 1 });
  const echo = await balance<Echo>(supervisor, 'contract');
  const { echo: sum } = await echo.call({ a: 1, b: 2 });
  assert.equal(sum, { a: 1, b: 2 });
  assert.is(pool<Echo>('contract'), echo);
  assert.equal((await call<Echo>('contract', { a: 3, b: 4 })).echo.b, 4);
});

test.run();
