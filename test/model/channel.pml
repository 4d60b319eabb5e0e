/*
 * Sleep and wake of the two sides of a channel, as native/stream.hpp and the event loops of both processes play it
 * together: nobody sleeps while there is something to do for him, whoever dies at any step, and what a side had
 * published before its death is received.
 *
 * A side writes to one stream and reads from the other. A frame takes one unit of a stream or, with the pad before
 * it, all of them. A bell is what an event loop waits for; so is the other's death.
 *
 * One step of this model is one atomic operation; that the operations are sequentially consistent is what the streams'
 * own check proves (test/native/relacy/stream.cc). Mutants are switched on with -D; see scripts/verify/model.js.
 */

#ifndef MESSAGES
#define MESSAGES 2	/* that each side sends, and receives */
#endif
#ifndef SIZE
#define SIZE 3		/* units that a stream holds */
#endif
#ifndef DEATHS
#define DEATHS 1	/* of both sides together */
#endif
#ifndef SURPRISES
#define SURPRISES 1	/* how often an event loop turns for another reason while it waits */
#endif

#define DATA 1
#define ROOM 2

/* What both sides share: how far each is, in units, and what it sleeps for. Indexed by the side that writes the word. */
byte tail[2] = 0;
byte head[2] = 0;	/* of the other one's stream */
byte sleeps_for[2] = 0;
bool bell[2] = false;
byte span[2 * MESSAGES] = 0;	/* of frames, in the stream itself: 2 * message + side */

bool alive[2] = true;
bool ended[2] = false;	/* has sent and received all, or all that the other had published before it died */
byte deaths = 0;
byte surprises = 0;

#define OTHER (1 - me)
#define USED(side) (tail[side] - head[1 - side])

/* Each side does all there is to do for it, or is dead. */
ltl progress { <> ((ended[0] || !alive[0]) && (ended[1] || !alive[1])) }

/* Rings the other's bell, if it sleeps for this. */
inline ring_for(what) {
	if
	:: (sleeps_for[OTHER] & what) != 0 ->
#ifdef CLEARS_AFTER_RING
		/* Mutant: the ringer takes the sleeper back only after it has rung. */
		bell[OTHER] = true;
		sleeps_for[OTHER] = 0
#else
		if
		:: atomic { sleeps_for[OTHER] != 0 -> sleeps_for[OTHER] = 0 };
#ifndef TAKES_AND_FORGETS
			bell[OTHER] = true
#endif
		:: else	/* it woke by itself */
		fi
#endif
	:: else
	fi
}

proctype Side(byte me) {
	byte sent = 0;
	byte received = 0;
	byte need = 0;		/* of the message that is to be sent next; 0: none */
	byte seen = 0;		/* the other's tail, as last seen */
	byte at = 0;		/* how far this side has read */
	bool last = false;	/* the other one is dead: what is there now is all */
#ifdef RINGS_ONCE
	byte was;
#endif
	{
receive:
	/* All that can be received: behind a death too. */
	do
	:: atomic { at == seen -> seen = tail[OTHER]; if :: at == seen -> break :: else fi }
	:: atomic { at != seen ->
#ifdef RINGS_ONCE
		was = seen - at;
#endif
		at = at + span[2 * received + OTHER];
		span[2 * received + OTHER] = 0;
		received++;
		head[me] = at };
#ifndef ROOM_NOT_RUNG
		/* By half of it only, but always when the stream is empty. */
		if
#ifdef RINGS_ONCE
		/* Mutant: for the frame only that makes it half empty. */
		:: (seen - at) * 2 <= SIZE && was * 2 > SIZE ->
#else
		:: (seen - at) * 2 <= SIZE ->
#endif
			ring_for(ROOM)
		:: else
		fi
#endif
	od;
	if
	:: last -> goto end
	:: else
	fi;
	/* All that can be sent. */
	do
	:: sent == MESSAGES -> break
	:: atomic { sent < MESSAGES ->
		if
		:: need == 0 -> if :: need = 1 :: need = SIZE fi
		:: else
		fi;
		if
		:: SIZE - USED(me) >= need -> span[2 * sent + me] = need
		:: else -> break
		fi };
#ifdef RINGS_FIRST
		ring_for(DATA);
#endif
		atomic { tail[me] = tail[me] + need; sent++; need = 0 };
#ifndef RINGS_FIRST
		ring_for(DATA)
#endif
	od;
	if
	:: sent == MESSAGES && received == MESSAGES -> goto end
	:: else
	fi;
	/* Sleep: say so, look once more, wait. */
#ifdef LOOKS_FIRST
	if :: received < MESSAGES && tail[OTHER] != at -> goto receive :: else fi;
	if :: need > 0 && SIZE - USED(me) >= need -> goto receive :: else fi;
#endif
#ifdef SAYS_DATA_ONLY
	sleeps_for[me] = DATA;
#else
	sleeps_for[me] = (received < MESSAGES -> DATA : 0) + (need > 0 -> ROOM : 0);
#endif
#ifndef LOOKS_FIRST
	if
	:: received < MESSAGES && tail[OTHER] != at -> sleeps_for[me] = 0; goto receive
	:: else
	fi;
#ifndef NO_LOOK_FOR_ROOM
	if
	:: need > 0 && SIZE - USED(me) >= need -> sleeps_for[me] = 0; goto receive
	:: else
	fi;
#endif
#endif
#ifdef BELL_EMPTIED_LATE
	/* Mutant: what rang once is emptied only when the next wait begins. */
	bell[me] = false;
#endif
	if
#ifdef BELL_EMPTIED_LATE
	:: bell[me]
#else
	:: atomic { bell[me] -> bell[me] = false }
#endif
#ifndef EXIT_NOT_SEEN
	:: atomic { !alive[OTHER] -> last = true }
#endif
	:: atomic { surprises < SURPRISES -> surprises++ }
	fi;
	sleeps_for[me] = 0;
#ifdef EXIT_WITHOUT_DRAIN
	if :: last -> goto end :: else fi;
#endif
	goto receive;
end:
	atomic {
		/* What the other published before it died was received, all of it. */
		assert(!last || at == tail[OTHER]);
		ended[me] = true
	}
	} unless { !alive[me] }
}

/* Death can come at any time, to either side. */
proctype Death() {
	do
	:: atomic { deaths < DEATHS && alive[0] -> deaths++; alive[0] = false }
	:: atomic { deaths < DEATHS && alive[1] -> deaths++; alive[1] = false }
	:: break
	od
}

init {
	atomic {
		run Side(0);
		run Side(1);
		run Death()
	}
}
