/*
 * A window over the fleet, as src/nats/{presence,member-window,window-news,fleet-window,fleet-members}.ts play it together.
 *
 * A coordinator takes the key of the pool by its revision (a compare-and-swap, as JetStream's expected sequence is), tells the
 * members, reads who is there, waits until each of those has acknowledged or has lapsed, runs its function, and gives the key
 * up. A member stores a heartbeat, reads the key, and works while it knows of no window. Words (opened, acknowledged, ended)
 * can be lost, and come again with a renewal. Members and coordinators die at any step; members are suspended until they have
 * lapsed, and go on.
 *
 * Time is not counted. Of the clocks only their order is used, which the code has from where each starts to count: a coordinator
 * gives its key up before anybody lets it lapse. So a key lapses, at the members and at other coordinators, only once its
 * coordinator does not believe in it any more: that is what "as long as leases hold" means. Mutants are switched on with -D.
 */

#ifdef NOT_THERE_IS_WAITED_FOR
#define DEATHS 0	/* nobody gives up then */
#define LOSSES 0
#endif
#ifndef WINDOWS
#define WINDOWS 1	/* windows that each coordinator opens */
#endif
#ifndef DEATHS
#define DEATHS 1	/* of coordinators */
#endif
#ifndef PAUSES
#define PAUSES 1	/* of members, for longer than their heartbeats */
#endif
#ifndef LOSSES
#define LOSSES 1	/* of leases, where the coordinator lives: it could not renew in time */
#endif

#define COORDINATORS 2
#ifndef MEMBERS
#define MEMBERS 1
#endif
#define NOBODY 255

/* The server: the key's owner, by window, and its revision. */
byte key = NOBODY;
byte revision = 0;
/* Heartbeats that have not lapsed. */
bool present[MEMBERS] = false;

/* The coordinators. A window is its coordinator's number plus COORDINATORS for each that it has opened before. */
bool believes[COORDINATORS] = false;	/* that the lease holds */
bool runs[COORDINATORS] = false;	/* all have acknowledged, the function runs */
byte window[COORDINATORS] = 0;
byte over[COORDINATORS] = 0;
byte deaths = 0;
byte pauses = 0;
byte losses = 0;

/* The members. */
bool suspended[MEMBERS] = false;
bool lapsed_self[MEMBERS] = false;	/* its own clock says so: heartbeat stored and key read come first */
bool knows[MEMBERS] = false;	/* it has read the key since it was last not there */
byte held[MEMBERS] = NOBODY;	/* the window that its pool is closed for */
bool quiet[MEMBERS] = false;	/* and nothing runs there */
byte works[MEMBERS] = 0;	/* something that goes through the pool runs; BEFORE: since before a lapse */
#define BEFORE 2
byte acked[MEMBERS] = NOBODY;	/* its last acknowledgement, as it has arrived */

#define OWNER(w) (w % COORDINATORS)
/* Whoever is not there counts as waited for: what it had begun before it was cut off is outside of the promise. */
#if MEMBERS == 2
#define WORKING (works[0] == 1 || works[1] == 1)
#else
#define WORKING (works[0] == 1)
#endif

ltl exclusive { [] !(runs[0] && believes[0] && runs[1] && believes[1]) }
ltl airtight { [] !((runs[0] && believes[0] || runs[1] && believes[1]) && WORKING) }
ltl reopens { [] ((held[0] != NOBODY) -> <> (held[0] == NOBODY || suspended[0])) }
ltl all_windows { <> (over[0] == WINDOWS && over[1] == WINDOWS) }

/* Its key can be let lapse: it lives no more, or has given up. */
#define LAPSED(w) (!believes[OWNER(w)] || window[OWNER(w)] != w)

proctype Member(byte me) {
	byte seen = NOBODY;
	/* Joining, and coming back after a lapse: the heartbeat is stored, then the key is read, then it serves. */
join:
#ifndef READS_FIRST
	atomic { !suspended[me] -> present[me] = true; lapsed_self[me] = false };
	atomic { seen = key; if :: seen != NOBODY && LAPSED(seen) -> seen = NOBODY :: else fi };
#else
	/* Mutant: the key is read, then the heartbeat is stored. */
	atomic { seen = key; if :: seen != NOBODY && LAPSED(seen) -> seen = NOBODY :: else fi };
	atomic { !suspended[me] -> present[me] = true; lapsed_self[me] = false };
#endif
	atomic {
		if
		:: seen != NOBODY && held[me] != seen -> held[me] = seen; quiet[me] = false
		:: else
		fi;
		knows[me] = true
	};
end_serve:
	do
	/* The clock is looked at with each call: who has lapsed reads the key again first. */
#ifndef SERVES_AFTER_LAPSE
	:: atomic { !suspended[me] && lapsed_self[me] -> knows[me] = false }; goto join
#else
	:: atomic { !suspended[me] && lapsed_self[me] -> lapsed_self[me] = false; present[me] = true }
#endif
	/* Work begins and ends. */
#ifndef SERVES_AFTER_LAPSE
	:: atomic { !suspended[me] && !lapsed_self[me] && knows[me] && held[me] == NOBODY && works[me] == 0 -> works[me] = 1 }
#else
	:: atomic { !suspended[me] && held[me] == NOBODY && works[me] == 0 -> works[me] = 1 }
#endif
	:: atomic { works[me] > 0 -> works[me] = 0 }
	/* The coordinator's word, or the key, read where a word was missed. */
	:: atomic { !suspended[me] && key != NOBODY && !LAPSED(key) && held[me] != key ->
		held[me] = key; quiet[me] = false }
	/* The local window: closed at once, quiet when what runs has finished. */
	:: atomic { !suspended[me] && held[me] != NOBODY && !quiet[me] &&
#ifndef ACKNOWLEDGES_EARLY
		works[me] == 0 &&
#endif
		true -> quiet[me] = true }
	/* Acknowledged, with each renewal again. */
	:: atomic { !suspended[me] && held[me] != NOBODY && quiet[me] && acked[me] != held[me] -> acked[me] = held[me] }
	/* The end: by word, by the key, or as the lease has lapsed here. */
#ifdef NEVER_LAPSES
	:: atomic { !suspended[me] && held[me] != NOBODY && key == NOBODY -> held[me] = NOBODY; quiet[me] = false }
#elif !defined(LAPSES_EARLY)
	:: atomic { !suspended[me] && held[me] != NOBODY && LAPSED(held[me]) -> held[me] = NOBODY; quiet[me] = false }
#else
	/* Mutant: its lease is shorter than the coordinator's. */
	:: atomic { !suspended[me] && held[me] != NOBODY -> held[me] = NOBODY; quiet[me] = false }
#endif
	od
}

/* A member that is suspended lapses; what runs in its replicas goes on. */
proctype Suspension(byte me) {
	do
	:: atomic { pauses < PAUSES && !suspended[me] && present[me] -> pauses++; suspended[me] = true };
		atomic { present[me] = false; lapsed_self[me] = true; if :: works[me] == 1 -> works[me] = BEFORE :: else fi };
		if
		:: suspended[me] = false
		:: break	/* for good: it is dead */
		fi
	:: break
	od
}

#define WAITED_FOR(m) (!present[m] || acked[m] == window[me])
#ifdef ACKNOWLEDGES_ANY
#undef WAITED_FOR
#define WAITED_FOR(m) (!present[m] || acked[m] != NOBODY)
#endif
#ifdef NOT_THERE_IS_WAITED_FOR
#undef WAITED_FOR
#define WAITED_FOR(m) (acked[m] == window[me])
#endif

#if MEMBERS == 2
#define ALL_WAITED_FOR ((!waits[0] || WAITED_FOR(0)) && (!waits[1] || WAITED_FOR(1)))
#else
#define ALL_WAITED_FOR (!waits[0] || WAITED_FOR(0))
#endif

proctype Coordinator(byte me) {
	byte seen;
	bool waits[MEMBERS];
	byte opened = 0;
	do
	:: opened == WINDOWS -> break
	:: opened < WINDOWS ->
		window[me] = me + COORDINATORS * opened;
take:
#ifdef LISTS_FIRST
		waits[0] = present[0];
#endif
		/* Free, or lapsed for whoever has seen that revision for so long; then taken by that revision. */
#ifdef KEY_STAYS
		atomic { key == NOBODY -> seen = revision };
#elif !defined(TAKES_A_LIVE_KEY)
		atomic { key == NOBODY || LAPSED(key) -> seen = revision };
#else
		seen = revision;
#endif
		if
#ifndef NO_REVISION
		:: atomic { revision == seen -> key = window[me]; revision++; believes[me] = true }
		:: atomic { revision != seen -> skip }; goto take
#else
		:: atomic { key = window[me]; revision++; believes[me] = true }
#endif
		fi;
		/* Who is there is read once the key is ours. */
#ifndef LISTS_FIRST
		atomic {
			waits[0] = present[0];
#if MEMBERS == 2
			waits[1] = present[1]
#endif
		};
#endif
		if
		:: atomic { believes[me] && ALL_WAITED_FOR -> runs[me] = true };
			/* The function; then the members are told, and the key goes, where it still is ours. */
			if
			:: skip
			:: atomic { losses < LOSSES -> losses++; believes[me] = false }	/* not renewed in time: its signal aborts */
			:: atomic { deaths < DEATHS -> deaths++; believes[me] = false; runs[me] = false; over[me] = WINDOWS };
				goto dead
			fi
		/* Given up before: a time limit, a signal, a lease that was lost. */
		:: atomic { losses < LOSSES -> losses++; believes[me] = false }
		:: atomic { deaths < DEATHS -> deaths++; believes[me] = false; over[me] = WINDOWS }; goto dead
		fi;
		atomic { runs[me] = false; believes[me] = false };
#ifndef DELETES_ANOTHERS
		atomic { if :: key == window[me] -> key = NOBODY; revision++ :: else fi };
#else
		atomic { key = NOBODY; revision++ };
#endif
		opened++;
		over[me] = opened
	od;
dead:	skip
}

init {
	atomic {
		run Member(0);
		run Suspension(0);
#if MEMBERS == 2
		run Member(1);
		run Suspension(1);
#endif
		run Coordinator(0);
		run Coordinator(1)
	}
}
