/**
 * Looks for calls that have no answer for long: asks each member which of them it has.
 *
 * A member hears a call before it hears this question, since both come from one connection; and what it has answered by then comes
 * here before its answer to this question, for the same reason. So a member that does not name a call has never heard it, or
 * its answer was lost: it will not answer it any more. Once that holds for every member that is there, the call is lost.
 *
 * Nobody answers for a member that was killed, and the server says so at once ("no responders"). It says the same of one that
 * connects again at that moment, and may still answer: only a call that may run twice is given up by that. Others wait until
 * the member's heartbeat lapses.
 */

import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { isConnected, publish } from './connection.js';
import type { FleetView } from './fleet-members.js';
import { askSubject } from './subjects.js';
import { isNobody, objectIn } from './wire.js';

/** ms without an answer after which a call is looked for; again after as long as it has taken by then. */
const LOST_AFTER = 1_000;
/** ms between two questions for one call at most. */
const LONGEST_PAUSE = 4_000;
/** ms between two looks at what is old enough. */
const LOOK = LOST_AFTER / 4;
/** ms after which a question counts as unanswered. */
const ANSWERED_WITHIN = 10_000;
/** Calls in one question: it stays far below what a server takes. */
const ASKED_AT_ONCE = 4_096;

/** A call that was sent, as long as it has no answer. */
export class Try {
  /** The subject of its answer, which is its name everywhere; each try has its own, so no answer is taken for another's. */
  readonly id: string;
  /** Whether it is given up as soon as nobody who can be reached has it. */
  readonly mayRunTwice: boolean;
  /** performance.now() */
  readonly sentAt = performance.now();
  askAt = this.sentAt + LOST_AFTER;
  /** Members that will not answer it, and those that could not be reached. */
  #deniedBy: Set<string> | undefined;
  #unreachable: Set<string> | undefined;

  constructor(id: string, mayRunTwice: boolean) {
    this.id = id;
    this.mayRunTwice = mayRunTwice;
  }

  mayBeAt(member: string): boolean {
    return this.#deniedBy?.has(member) !== true;
  }

  isLost(members: readonly { readonly id: string }[]): boolean {
    const known = (this.#deniedBy?.size ?? 0) + (this.#unreachable?.size ?? 0);
    if (known < members.length || performance.now() < this.sentAt + LOST_AFTER) return false;
    return members.every(
      ({ id }) => !this.mayBeAt(id) || (this.mayRunTwice && this.#unreachable?.has(id) === true),
    );
  }

  denied(member: string): void {
    this.#deniedBy ??= new Set();
    this.#deniedBy.add(member);
  }

  unreachableAt(member: string): void {
    this.#unreachable ??= new Set();
    this.#unreachable.add(member);
  }
}

interface Question<Sent> {
  readonly member: string;
  readonly tries: readonly Sent[];
  /** performance.now() */
  readonly askedAt: number;
}

export class LostCalls<Sent extends Try> {
  readonly #nc: NatsConnection;
  readonly #pool: string;
  readonly #view: FleetView;
  readonly #inbox: string;
  readonly #tries: () => readonly Sent[];
  readonly #lost: (one: Sent) => void;
  /** By the token of the inbox that its answer comes to. */
  readonly #questions = new Map<string, Question<Sent>>();
  #asked = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param inbox where answers come: the caller gives `hear` those whose token is not one of its own.
   * @param tries lists those that have no answer.
   * @param lost is given those of them that nobody will answer; also one that has its answer by then.
   */
  constructor(
    nc: NatsConnection,
    pool: string,
    view: FleetView,
    inbox: string,
    tries: () => readonly Sent[],
    lost: (one: Sent) => void,
  ) {
    this.#nc = nc;
    this.#pool = pool;
    this.#view = view;
    this.#inbox = inbox;
    this.#tries = tries;
    this.#lost = lost;
    view.onGone(() => this.#judge(tries()));
  }

  /** Call it after each that was sent. It looks until there is none. */
  watch(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#questions.clear();
  }

  /** Takes the answer to a question; ignores what is none. */
  hear(token: string, message: Msg): void {
    const question = this.#questions.get(token);
    if (question === undefined) return;
    this.#questions.delete(token);
    const { member, tries } = question;
    if (isNobody(message)) {
      for (const one of tries) one.unreachableAt(member);
    } else {
      const has = idsIn(message.data);
      for (const one of tries) if (!has.has(one.id)) one.denied(member);
    }
    this.#judge(tries);
  }

  #look(): void {
    const tries = this.#tries();
    const now = performance.now();
    for (const [token, { askedAt }] of this.#questions) {
      if (askedAt > now - ANSWERED_WITHIN) break;
      this.#questions.delete(token);
    }
    if (tries.length === 0) return this.close();
    if (!isConnected(this.#nc)) return;
    const due = tries.filter(({ askAt }) => askAt <= now);
    if (due.length === 0) return;
    for (const one of due) one.askAt = now + Math.min(now - one.sentAt, LONGEST_PAUSE);
    const members = this.#view.members();
    for (const { id } of members) {
      this.#ask(
        id,
        due.filter((one) => one.mayBeAt(id)),
        now,
      );
    }
    this.#judge(due);
  }

  #ask(member: string, tries: readonly Sent[], askedAt: number): void {
    for (let at = 0; at < tries.length; at += ASKED_AT_ONCE) {
      const some = tries.slice(at, at + ASKED_AT_ONCE);
      const token = `${QUESTION}${(this.#asked++).toString(36)}`;
      this.#questions.set(token, { member, tries: some, askedAt });
      const reply = `${this.#inbox}.${token}`;
      publish(this.#nc, askSubject(this.#pool, member), JSON.stringify(some.map(({ id }) => id)), { reply });
    }
  }

  #judge(tries: readonly Sent[]): void {
    const members = this.#view.members();
    for (const one of tries) if (one.isLost(members)) this.#lost(one);
  }
}

/** How the tokens of questions begin: no number is written so. */
const QUESTION = '-';

/** Which calls a member says that it has. An answer that cannot be read says nothing: it counts as one that has all. */
function idsIn(data: Uint8Array): { has(id: string): boolean } {
  const ids = objectIn(data);
  return Array.isArray(ids) ? new Set(ids) : { has: () => true };
}
