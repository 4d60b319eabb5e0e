/*
 * The maintenance window across processes, as native/ring.hpp, src/memory/transactions.ts and
 * src/primary/{windows,balancer,replica-process}.ts play it together.
 *
 * A transaction is counted in the slot of its own process before it looks at the paused flag, and undoes the count
 * where the flag is set; it then takes a pid, which fails where a pause has begun meanwhile. The primary closes the
 * gate, pings every replica (a ping first waits until no transaction is counted, and is then answered in mailbox
 * order), runs the function, and opens the gate. Meanwhile replicas die at any step, are forked again into the same
 * slot, and refreshes publish. Calls pass through the primary: held while it is paused, sent when it ends.
 *
 * One step of this model is one atomic operation; that the operations are sequentially consistent is what the ring's
 * own check proves (test/native/relacy). Mutants are switched on with -D; see scripts/verify/model.js.
 */

#ifndef WINDOWS
#define WINDOWS 2	/* windows that the primary opens */
#endif
#ifndef CALLS
#define CALLS 1		/* calls, of whoever calls the pool */
#endif
#define REPLICAS 2	/* each with its own transactions */
#ifndef DEATHS
#define DEATHS 1	/* of all replicas together */
#endif
#ifndef REFRESHES
#define REFRESHES 1
#endif

/* The segment. */
bool paused = false;
byte generation = 0;		/* a refresh makes a new one; it keeps the flag */
byte running[REPLICAS] = 0;	/* by slot: transactions counted */

/* What is true of the world, whatever the segment says. */
bool alive[REPLICAS] = true;
byte at_work[REPLICAS] = 0;	/* transactions past their look at the flag that hold a pid */
byte mailbox[REPLICAS] = 0;	/* calls sent to a replica and not finished */
byte deaths = 0;
byte refreshes = 0;
byte incarnation[REPLICAS] = 0;

/* The primary's own memory. */
bool gate_closed = false;
bool quiet = false;		/* all pings are answered, and the gate is still closed */
byte held = 0;			/* calls kept for the end of the window */
byte settled = 0;		/* calls that have their answer */
byte windows_done = 0;
bool exit_seen[REPLICAS] = true;
bool pinged[REPLICAS] = false;	/* a ping is in the mailbox, behind `ahead` calls */
byte ahead[REPLICAS] = 0;
bool answered[REPLICAS] = false;
byte pingee[REPLICAS] = 0;	/* the incarnation that a window pings */

#define WORK (at_work[0] + at_work[1] + mailbox[0] + mailbox[1])
#define COUNTED (running[0] + running[1])

/* No counted work between the last ping's answer and resume, and no call is sent then. */
#define QUIET_MEANS_QUIET (!quiet || WORK == 0)

ltl airtight { [] QUIET_MEANS_QUIET }
/* Whatever happens in a window, it ends: the pool opens again. */
ltl reopens { [] (paused -> <> !paused) }
/* Every call is answered in the end (it fails with its replica, or is held and then sent). */
ltl answers { <> (settled == CALLS) }
/* All windows get their turn. */
ltl all_windows { <> (windows_done == WINDOWS) }

/* A replica's transactions: one after another, in any number; its process can die between any two steps. */
proctype Caller(byte me; byte born) {
	byte seen;
end_idle:
	do
	:: !alive[me] || incarnation[me] != born -> break
	:: alive[me] && incarnation[me] == born ->
#ifdef LOOK_FIRST
		/* Mutant: the flag is looked at before the count. */
		if
		:: atomic { !paused && alive[me] && incarnation[me] == born -> skip }
		:: else -> break
		fi;
		atomic { if :: alive[me] && incarnation[me] == born -> running[me]++ :: else -> break fi };
#else
		atomic { if :: alive[me] && incarnation[me] == born -> running[me]++ :: else -> break fi };
		if
		:: atomic { alive[me] && incarnation[me] == born && paused ->
#ifndef NO_UNDO
			running[me]--;
#endif
			}
			goto wait
		:: !alive[me] || incarnation[me] != born -> break
		:: atomic { alive[me] && incarnation[me] == born && !paused -> skip }
		fi;
#endif
		/* The claim: a compare-and-swap that fails where a pause has begun. map() has all pids, and claims none. */
		seen = generation;
		if
		:: atomic { alive[me] && incarnation[me] == born && !paused && seen == generation -> at_work[me]++ }
		:: atomic { alive[me] && incarnation[me] == born -> at_work[me]++ }
		:: atomic { alive[me] && incarnation[me] == born && (paused || seen != generation) ->
			running[me]--; }
			goto wait
		:: !alive[me] || incarnation[me] != born -> break
		fi;
		/* At work; then the count is given back. */
		if
		:: atomic { alive[me] && incarnation[me] == born -> at_work[me]--; }
		:: !alive[me] || incarnation[me] != born -> break
		fi;
		atomic { if :: alive[me] && incarnation[me] == born -> running[me]-- :: else -> break fi };
wait:
		/* Refused ones look again until the flag is gone. */
		if
		:: !paused || !alive[me] || incarnation[me] != born
		fi
	od
}

/* A replica's mailbox: calls finish in any order, a ping is answered when those before it are finished. */
proctype Mailbox(byte me) {
end_mailbox:
	do
	:: atomic { alive[me] && mailbox[me] > 0 ->
		mailbox[me]--;
		settled++;
		if :: ahead[me] > 0 -> ahead[me]-- :: else fi }
#ifdef PING_OVERTAKES
	:: atomic { alive[me] && pinged[me] -> pinged[me] = false; answered[me] = true }
#else
	:: atomic { alive[me] && pinged[me] && ahead[me] == 0 -> pinged[me] = false; answered[me] = true }
#endif
	od
}

/* Death can come at any time. What was at work in that process is over; what it had counted is still in its slot. */
proctype Death() {
	do
	:: atomic { deaths < DEATHS && alive[0] -> deaths++; alive[0] = false; exit_seen[0] = false; at_work[0] = 0 }
	:: atomic { deaths < DEATHS && alive[1] -> deaths++; alive[1] = false; exit_seen[1] = false; at_work[1] = 0 }
	:: break
	od
}

inline send_call() {
	if
	:: alive[0] && exit_seen[0] -> mailbox[0]++
	:: alive[1] && exit_seen[1] -> mailbox[1]++
	:: !(alive[0] && exit_seen[0]) && !(alive[1] && exit_seen[1]) -> settled++	/* refused: nobody is there */
	fi
}

/* The primary's main thread, as the rest of it: exits, forks, refreshes and calls come in any order, a window or not. */
proctype Primary() {
	byte calls = 0;
end_primary:
	do
	/* An exit is seen: the slot is cleared, the calls it had are answered with the death, the ping counts. */
	:: atomic { !alive[0] && !exit_seen[0] -> exit_seen[0] = true;
#ifndef SLOT_NOT_CLEARED
		running[0] = 0;
#endif
		settled = settled + mailbox[0]; mailbox[0] = 0; ahead[0] = 0; pinged[0] = false; answered[0] = true }
	:: atomic { !alive[1] && !exit_seen[1] -> exit_seen[1] = true;
#ifndef SLOT_NOT_CLEARED
		running[1] = 0;
#endif
		settled = settled + mailbox[1]; mailbox[1] = 0; ahead[1] = 0; pinged[1] = false; answered[1] = true }
	/* A new process in the same slot, which calls the pool at once. */
	:: atomic { !alive[0] && exit_seen[0] -> incarnation[0]++; alive[0] = true; run Caller(0, incarnation[0]) }
#ifdef CLEARED_AFTER_FORK
		; running[0] = 0
#endif
	:: atomic { !alive[1] && exit_seen[1] -> incarnation[1]++; alive[1] = true; run Caller(1, incarnation[1]) }
#ifdef CLEARED_AFTER_FORK
		; running[1] = 0
#endif
	/* A refresh publishes, in a window too: the new generation keeps the flag. */
	:: atomic { refreshes < REFRESHES -> refreshes++; generation++;
#ifdef REFRESH_REOPENS
		paused = false
#endif
		}
	/* A call of the pool comes: held while the gate is closed. */
	:: atomic { calls < CALLS -> calls++;
		if
#ifndef CALLS_NOT_HELD
		:: gate_closed -> held++
		:: else -> send_call()
#else
		:: true -> send_call()
#endif
		fi }
	od
}

/* ping(pid): behind what is in the mailbox; whoever is gone, or goes before it answers, counts as waited for. */
inline ping(it) {
	atomic {
		if
		:: incarnation[it] == pingee[it] && alive[it] -> pinged[it] = true; ahead[it] = mailbox[it]
		:: incarnation[it] == pingee[it] && !alive[it] && !exit_seen[it] -> skip	/* its exit answers */
		:: else -> answered[it] = true
		fi
	}
}

/* The windows, one after another. Their steps interleave with the rest of the primary, as its event loop does. */
proctype Windows() {
	do
	:: windows_done < WINDOWS ->
		atomic {
			gate_closed = true;
			paused = true;
			answered[0] = false; answered[1] = false;
			pingee[0] = incarnation[0]; pingee[1] = incarnation[1]
		};
		/* A ping first waits until no transaction is counted. */
#ifndef PING_DOES_NOT_DRAIN
		(running[0] == 0);
		(running[1] == 0);
#endif
		ping(0);
		ping(1);
		atomic { answered[0] && answered[1] -> quiet = true };
		skip;	/* the function runs */
#ifdef STAYS_CLOSED_WHEN_IT_THROWS
		if :: skip :: quiet = false; break fi;
#endif
		/* The end, whether the function gave something or threw: the flag goes, and what was held is sent. */
		atomic { quiet = false; gate_closed = false; paused = false };
		do
		:: atomic { held > 0 -> held--; send_call() }
		:: held == 0 -> break
		od;
		windows_done++
	:: windows_done == WINDOWS -> break
	od
}

init {
	atomic {
		run Caller(0, 0);
		run Caller(1, 0);
		run Mailbox(0);
		run Mailbox(1);
		run Death();
		run Primary();
		run Windows()
	}
}
