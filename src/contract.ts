/**
 * The contract of a pool: the type of its replicas' handler, which says what a message is and what its reply is. These types
 * take it apart. They exist while compiling only.
 */

/**
 * The message that a contract takes: the first parameter of a function type. `unknown` if the contract is no function type,
 * so untyped calls take anything.
 */
export type MessageOf<Contract> = Contract extends (message: infer Message, ...rest: never) => unknown
  ? Message
  : unknown;

/**
 * The reply that a contract gives: what a function type returns, awaited. Any other type is the reply itself, so
 * `call<number>` has a number as its reply. It is never taken from where the reply goes: a type that nobody has written down
 * would be a guess.
 */
export type ReplyOf<Contract> = Contract extends (...args: never) => infer Reply
  ? Awaited<Reply>
  : NoInfer<Contract>;
