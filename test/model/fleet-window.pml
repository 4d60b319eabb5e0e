/*
 * A window over the fleet, as src/nats/{presence,member-window,window-news,fleet-window,fleet-members}.ts play it together.
 *
 * Members store a heartbeat, read the key, and work while they know of no window. Coordinators take the key by its revision, read
 * who is there, wait until each of those has acknowledged or has lapsed, run their function, and give the key up. Each step is
 * what one process does without an await, or one request at the server. Words (opened, acknowledged, ended) may come late, or
 * never where something else makes up for it.
 *
 * Time is not counted. Of the clocks only their order is used, which the code has from where each starts to count: a coordinator
 * gives its key up before anybody lets it lapse; a member that is cut off counts itself as gone before anybody else does, and
 * before it lets a window lapse.
 *
 * Without WINDOWS there is no end of windows, deaths, losses and lapses: what is searched then (safety) holds for any number
 * of them. With WINDOWS (liveness) each coordinator opens so many, and FAULTS happen at most. Mutants are switched on with -D.
 */

#ifndef MEMBERS
#define MEMBERS 2
#endif
#ifndef COORDINATORS
#define COORDINATORS 2	/* at the same time; in the place of one that has died comes another */
#endif
#ifdef WINDOWS
#ifndef FAULTS
#define FAULTS 2
#endif
#endif

/* A window is named by its coordinator for as long as that believes in its lease. Then it is OVER, for whoever still knows it. */
#define NONE 14
#define OVER 15

/* The server: whose entry is under the key. */
byte key = NONE;

/* The coordinators. */
#define IDLE 0
#define FOUND 1	/* has seen that the key is free; its revision has not changed since */
#define TAKEN 2	/* has the key, has not read who is there */
#define WAITS 3	/* for acknowledgements */
#define RUNS 4	/* its function runs */
#define ENDS 5	/* has given up: believes in its lease no more, and deletes its key next */
byte step[COORDINATORS] = IDLE;
bool waits[COORDINATORS * MEMBERS] = false;	/* the member is there, as this coordinator knows */
#define BELIEVES(c) (step[c] >= TAKEN && step[c] <= RUNS)

/* The members. */
#define OUT 0
#define THERE 1	/* a heartbeat is stored, and by the member's own clock nobody has let it lapse */
#define LAPSED 2	/* somebody may have */
#define DEAD 3
byte presence[MEMBERS] = OUT;
#define NOT_YET 0
#define ASKED 1
#define LOOKED 2
byte look[MEMBERS] = NOT_YET;	/* at the key, since it was last there */
byte seen[MEMBERS] = NONE;	/* the answer that is on its way */
byte held[MEMBERS] = NONE;	/* the window that its pool is closed for */
bool quiet[MEMBERS] = false;	/* and nothing runs there */
byte acked[MEMBERS] = NONE;	/* the window that it has acknowledged */
#define NOTHING 0
#define COUNTED 1	/* something that goes through the pool, of which the window promises that it is waited for */
#define BEFORE 2	/* begun before the member was there, or before it was last cut off: no window promises anything of it */
byte work[MEMBERS] = NOTHING;
#define SERVES(m) (presence[m] == THERE && look[m] == LOOKED)

/* As liveness needs them. */
#ifdef WINDOWS
byte wants[COORDINATORS] = WINDOWS;
byte faults = 0;
#define WANTS(c) (wants[c] > 0)
#define MAY_FAIL (faults < FAULTS)
#define FAILS faults++
#else
#define WANTS(c) true
#define MAY_FAIL true
#define FAILS skip
#endif
/* Something of an earlier window may still be on its way. */
#if defined(OLD_WORD_WINS) || defined(OLD_END_COUNTS)
bool earlier = false;
#define REMEMBER earlier = true
#else
#define REMEMBER skip
#endif

/* Which promise is checked. */
#ifndef AIRTIGHT
#define AIRTIGHT 0
#endif
#ifndef EXCLUSIVE
#define EXCLUSIVE 0
#endif

#ifdef NO_REVISION
#define SWAPS_BLINDLY true
#else
#define SWAPS_BLINDLY false
#endif
#ifdef ACKNOWLEDGES_ANY
#define FORGOTTEN OVER
#else
#define FORGOTTEN NONE
#endif
#ifdef KEEPS_QUIET
#define STAYS_QUIET true
#else
#define STAYS_QUIET false
#endif

byte i = 0;	/* in d_step alone */

/* The entry under the key, as whoever reads it will have to take it. */
#define ENTRY (key < NONE && step[key] == ENDS -> OVER : key)

/* What is promised. Stated wherever it could be broken: each start of a function or of work, each key taken. */
inline exclusive(c) {
	for (i : 0 .. COORDINATORS - 1) { assert(!EXCLUSIVE || i == c || !BELIEVES(i)) }
	i = 0
}
inline airtight() {
	for (i : 0 .. COORDINATORS * MEMBERS - 1) {
		assert(!AIRTIGHT || !(step[i / MEMBERS] == RUNS && work[i % MEMBERS] == COUNTED))
	}
	i = 0
}

/* Whatever is written under the key: who has seen another revision does not take it. */
inline written(c) {
	for (i : 0 .. COORDINATORS - 1) {
		if :: i != c && step[i] == FOUND && !SWAPS_BLINDLY -> step[i] = IDLE :: else fi
	}
	i = 0
}

/* Nobody believes in the window of c any more. */
inline over(c) {
	REMEMBER;
	for (i : 0 .. MEMBERS - 1) {
		waits[c * MEMBERS + i] = false;
		if :: held[i] == c -> held[i] = OVER; quiet[i] = quiet[i] && STAYS_QUIET :: else fi;
		if :: seen[i] == c -> seen[i] = OVER :: else fi;
		if :: acked[i] == c -> acked[i] = FORGOTTEN :: else fi
	}
	i = 0
}

/* The member knows of no window, or of another one: what still runs there is of those that the next window waits for. */
inline counted(m) {
	if :: work[m] == BEFORE && SERVES(m) -> work[m] = COUNTED; airtight() :: else fi
}

inline closes(m, w) {
	quiet[m] = quiet[m] && STAYS_QUIET;
	held[m] = w;
	counted(m)
}

inline opens(m) {
	held[m] = NONE;
	quiet[m] = false;
	counted(m)
}

/* Heartbeat and key: joining, and coming back after a lapse. */
proctype Heart(byte m) {
end:	do
#ifndef READS_FIRST
	:: d_step { presence[m] == OUT || presence[m] == LAPSED -> presence[m] = THERE }
	:: d_step { presence[m] == THERE && look[m] == NOT_YET -> look[m] = ASKED; seen[m] = ENTRY }
#else
	:: d_step { (presence[m] == OUT || presence[m] == LAPSED) && look[m] == NOT_YET -> look[m] = ASKED; seen[m] = ENTRY }
	:: d_step { (presence[m] == OUT || presence[m] == LAPSED) && look[m] == ASKED -> presence[m] = THERE }
#endif
	/* The answer. One of a window that is over may have been passed by the word of its end. */
	:: d_step { presence[m] == THERE && look[m] == ASKED ->
		if
		:: seen[m] < NONE && held[m] != seen[m] -> closes(m, seen[m])
		:: seen[m] == OVER && held[m] == NONE -> closes(m, OVER)
#ifdef OLD_ANSWER_ENDS
		:: seen[m] == NONE && held[m] != NONE -> opens(m)
#endif
		:: else
		fi;
		look[m] = LOOKED;
		seen[m] = NONE;
		if :: held[m] == NONE -> counted(m) :: else fi }
	:: d_step { presence[m] == THERE && look[m] == ASKED && seen[m] == OVER && held[m] == NONE ->
		look[m] = LOOKED;
		seen[m] = NONE;
		counted(m) }
	od
}

/* What goes through the pool: calls of the fleet, and of the member's own machine. */
proctype Work(byte m) {
end:	do
	:: d_step { work[m] == NOTHING && held[m] == NONE && presence[m] != DEAD ->
		work[m] = (SERVES(m) -> COUNTED : BEFORE);
		airtight() }
#ifdef SERVES_AFTER_LAPSE
	:: d_step { work[m] == NOTHING && held[m] == NONE && presence[m] == THERE -> work[m] = COUNTED; airtight() }
#endif
	:: d_step { work[m] != NOTHING -> work[m] = NOTHING }
	od
}

/* What a member hears of windows, and does. */
proctype Follower(byte m) {
end:	do
	/* The coordinator's word, or the key, read where a word was missed. */
	:: d_step { presence[m] != OUT && presence[m] != DEAD && ENTRY < NONE && held[m] == NONE -> closes(m, key) }
	:: d_step { presence[m] != OUT && presence[m] != DEAD && ENTRY == OVER && held[m] == NONE -> closes(m, OVER) }
	/* Another window before the end of the last one was heard. The pool is open for a moment in between. */
	:: d_step { presence[m] != DEAD && held[m] != NONE && ENTRY < NONE && held[m] != ENTRY -> closes(m, key) }
	:: d_step { presence[m] != DEAD && held[m] != NONE && ENTRY < NONE && held[m] != ENTRY && work[m] == NOTHING ->
		closes(m, key);
		work[m] = (SERVES(m) -> COUNTED : BEFORE);
		airtight() }
	/* The local window: closed at once, quiet when what runs has finished. */
	:: d_step { held[m] < NONE && !quiet[m] && presence[m] != DEAD &&
#ifndef ACKNOWLEDGES_EARLY
		work[m] == NOTHING &&
#endif
		true -> quiet[m] = true }
	/* Acknowledged, with each renewal again. */
	:: d_step { held[m] < NONE && quiet[m] && presence[m] != DEAD && acked[m] != held[m] -> acked[m] = held[m] }
	/* The end: by word, by the key, or as the lease has lapsed here. */
#ifndef NEVER_LAPSES
	:: d_step { held[m] == OVER && presence[m] != DEAD -> opens(m) }
#endif
	:: d_step { held[m] != NONE && presence[m] != DEAD && key == NONE -> opens(m) }
	/* It is cut off, and the coordinator that it does not hear renews. */
	:: d_step { held[m] < NONE && presence[m] == LAPSED -> opens(m) }
#ifdef LAPSES_EARLY
	:: d_step { held[m] < NONE && presence[m] == THERE -> opens(m) }
#endif
#ifdef OLD_WORD_WINS
	:: d_step { earlier && held[m] < NONE && presence[m] == THERE -> held[m] = OVER; quiet[m] = false }
#endif
#ifdef OLD_END_COUNTS
	:: d_step { earlier && held[m] < NONE && presence[m] == THERE -> opens(m) }
#endif
	od
}

#define WAITED_FOR(c, m) (!waits[c * MEMBERS + m] || acked[m] == c)
#ifdef ACKNOWLEDGES_ANY
#undef WAITED_FOR
#define WAITED_FOR(c, m) (!waits[c * MEMBERS + m] || acked[m] != NONE)
#endif
#if MEMBERS == 1
#define COMPLETE(c) WAITED_FOR(c, 0)
#define EXPECTED(c) waits[c * MEMBERS]
#define ARRIVED(c) (acked[0] == c)
#elif MEMBERS == 2
#define COMPLETE(c) (WAITED_FOR(c, 0) && WAITED_FOR(c, 1))
#define EXPECTED(c) (waits[c * MEMBERS] + waits[c * MEMBERS + 1])
#define ARRIVED(c) ((acked[0] == c) + (acked[1] == c))
#elif MEMBERS == 3
#define COMPLETE(c) (WAITED_FOR(c, 0) && WAITED_FOR(c, 1) && WAITED_FOR(c, 2))
#define EXPECTED(c) (waits[c * MEMBERS] + waits[c * MEMBERS + 1] + waits[c * MEMBERS + 2])
#define ARRIVED(c) ((acked[0] == c) + (acked[1] == c) + (acked[2] == c))
#endif
#if defined(ONE_IS_ENOUGH) && MEMBERS == 2
#undef COMPLETE
#define COMPLETE(c) (EXPECTED(c) == 0 || acked[0] == c && waits[c * MEMBERS] || acked[1] == c && waits[c * MEMBERS + 1])
#endif
#ifdef ACKNOWLEDGEMENTS_ARE_COUNTED
#undef COMPLETE
#define COMPLETE(c) (ARRIVED(c) >= EXPECTED(c))
#endif

inline list(c) {
	for (i : 0 .. MEMBERS - 1) { waits[c * MEMBERS + i] = (presence[i] == THERE) }
	i = 0
}

proctype Coordinator(byte c) {
end:	do
	/* Free, or lapsed for whoever has seen that revision for so long; then taken by that revision. */
	:: d_step { step[c] == IDLE && WANTS(c) &&
#ifdef KEY_STAYS
		key == NONE
#elif defined(TAKES_A_LIVE_KEY)
		true
#else
		ENTRY >= NONE
#endif
		-> step[c] = FOUND;
#ifdef LISTS_FIRST
		list(c)
#endif
		}
	:: d_step { step[c] == FOUND -> step[c] = TAKEN; key = c; written(c); exclusive(c) }
	/* Who is there is read once the key is ours. */
#ifndef LISTS_FIRST
	:: d_step { step[c] == TAKEN -> step[c] = WAITS; list(c) }
#else
	:: d_step { step[c] == TAKEN -> step[c] = WAITS }
#endif
	:: d_step { step[c] == WAITS && COMPLETE(c) -> step[c] = RUNS; airtight() }
	/* The function has ended. */
	:: d_step { step[c] == RUNS -> step[c] = ENDS; over(c) }
	/* The key goes, where it still is its own. */
	:: d_step { step[c] == ENDS ->
#ifndef DELETES_ANOTHERS
		if :: key == c -> key = NONE; written(c) :: else fi;
#else
		key = NONE; written(c);
#endif
		step[c] = IDLE;
#ifdef WINDOWS
		wants[c]--
#endif
		}
	od
}

/* What a coordinator hears of heartbeats. */
proctype View(byte c; byte m) {
end:	do
	/* It lets the member lapse, after that has done so by its own clock. */
	:: d_step { step[c] == WAITS && waits[c * MEMBERS + m] &&
#ifdef NOT_THERE_IS_WAITED_FOR
		false &&
#endif
#ifndef HEARS_NOBODY
		presence[m] != THERE &&
#endif
		true ->
#ifndef ONE_LAPSE_IS_ALL
		waits[c * MEMBERS + m] = false
#else
		for (i : 0 .. MEMBERS - 1) { waits[c * MEMBERS + i] = false }
		i = 0
#endif
		}
	/* It hears one that it had not read. */
	:: d_step { step[c] == WAITS && !waits[c * MEMBERS + m] && presence[m] == THERE -> waits[c * MEMBERS + m] = true }
	od
}

#define NOBODY_WAITS(m) (!waits[m] && !waits[(COORDINATORS - 1) * MEMBERS + m])
#define WON(c) (wants[c] == 0)

/* What goes wrong with a member. What runs in its replicas goes on, unless its machine dies. */
proctype MemberTrouble(byte m) {
end:	do
	/* It is suspended or cut off for longer than its heartbeats. */
	:: d_step { presence[m] == THERE && MAY_FAIL ->
		FAILS;
		presence[m] = LAPSED;
#ifdef OLD_ANSWER_COUNTS
		if :: look[m] == LOOKED -> look[m] = NOT_YET :: else fi;
#else
		look[m] = NOT_YET;
		seen[m] = NONE;
#endif
		if :: work[m] == COUNTED -> work[m] = BEFORE :: else fi }
	/* It dies, or leaves. */
	:: d_step { (presence[m] == THERE || presence[m] == LAPSED) && MAY_FAIL ->
		FAILS;
		presence[m] = DEAD;
		look[m] = NOT_YET;
		seen[m] = NONE;
		held[m] = NONE;
		quiet[m] = false;
		work[m] = NOTHING }
	/* Another may join in its place. */
	:: d_step { presence[m] == DEAD && NOBODY_WAITS(m) -> presence[m] = OUT; acked[m] = NONE }
	od
}

/* What goes wrong with a coordinator. */
proctype CoordinatorTrouble(byte c) {
end:	do
	/* It gives up: its time is over, or its lease is lost. */
	:: d_step { BELIEVES(c) && MAY_FAIL -> FAILS; step[c] = ENDS; over(c) }
	/* Its key cannot be deleted. */
	:: d_step { step[c] == ENDS && MAY_FAIL ->
		FAILS;
		if :: key == c -> key = OVER :: else fi;
		step[c] = IDLE;
#ifdef WINDOWS
		wants[c]--
#endif
		}
	/* It dies. */
	:: d_step { step[c] >= TAKEN && MAY_FAIL ->
		FAILS;
		step[c] = IDLE;
		over(c);
		if :: key == c -> key = OVER :: else fi;
#ifdef WINDOWS
		wants[c] = 0
#endif
		}
	od
}

#ifndef WINDOWS
/* The server lets an entry expire that nobody renews. Nobody relies on it. */
proctype Expiry() {
end:	do
	:: d_step { key == OVER -> key = NONE; written(NONE) }
	od
}
#else
ltl reopens { [] (held[0] != NONE -> <> (held[0] == NONE)) }
ltl all_windows { <> (WON(0) && WON(COORDINATORS - 1)) }
#endif

init {
	byte n, c;
	atomic {
		for (n : 0 .. MEMBERS - 1) {
			run Heart(n);
			run Work(n);
			run Follower(n);
			run MemberTrouble(n)
		}
		for (c : 0 .. COORDINATORS - 1) {
			run Coordinator(c);
			run CoordinatorTrouble(c);
			for (n : 0 .. MEMBERS - 1) { run View(c, n) }
		}
#ifndef WINDOWS
		run Expiry();
#endif
		n = 0;
		c = 0
	}
}
