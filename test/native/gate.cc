// Whose turn it is: native/listener.hpp with a clock of its own, so that every count can be exact. Several
// gates over one segment play the replicas; the test says what their slots hold, and when it is.
//
//   gate
//
// Prints how much was checked; at the first thing that does not hold it says which, and exits with 1.
#include <deque>
#include <new>
#include <random>

#include "examples.hpp"
#include "listener.hpp"

namespace ballermann {
namespace {

using examples::check;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSlow = 1'000 * kMs;  // between two connections: long enough for each to be the only one

// Replicas in slots 1 to n, all idle and serving, that listen on one socket. Their event loops turn with each
// connection unless a scenario stops them.
class Replicas {
 public:
  explicit Replicas(uint32_t count, uint32_t start = 0) : taken(count + 1) {
    for (uint32_t slot = 1; slot <= count; ++slot) {
      gates_.emplace_back(segment(), listener(), slot);
      of(slot).pid = 1000 + slot;
      of(slot).state = static_cast<uint32_t>(SlotState::serving);
      gate(slot).join();
      if (start != 0) listener().accepted[slot] = start;
    }
  }

  ~Replicas() {
    for (uint32_t slot = 0; slot <= gates_.size() + 1; ++slot) {
      new (&segment().slots[slot]) Slot{};
      listener().accepted[slot] = 0;
    }
    listener().slots = 0;
  }

  Gate& gate(uint32_t slot) { return gates_[slot - 1]; }
  Slot& of(uint32_t slot) { return segment().slots[slot]; }
  Listener& listener() { return segment().listeners[0]; }
  uint32_t count() const { return static_cast<uint32_t>(gates_.size()); }

  // A replica finds a connection, and accepts it if it may.
  Verdict offer(uint32_t slot) {
    const Verdict verdict = gate(slot).look(now);
    if (verdict == Verdict::kAccept) {
      gate(slot).accepted(now);
      taken[slot]++;
    }
    return verdict;
  }

  // How many of at most `most` it accepts one after another.
  uint32_t accepts(uint32_t slot, uint32_t most) {
    uint32_t count = 0;
    while (count < most && offer(slot) == Verdict::kAccept) count++;
    return count;
  }

  // Time in which the event loop of each turns.
  void pass(uint64_t ns) {
    now += ns;
    for (uint32_t slot = 1; slot <= count(); ++slot) of(slot).loop_idle += 1;
  }

  // One connection, `after` ns later, which the replicas find in any order, again and again, until one
  // accepts it.
  // @return who.
  uint32_t connection(uint64_t after) {
    pass(after);
    for (uint32_t tries = 0; tries < 1000; ++tries) {
      const uint32_t slot = 1 + random() % count();
      if (offer(slot) == Verdict::kAccept) return slot;
    }
    check(false, "a connection that nobody accepts", 0);
    return 0;
  }

  // Between those that have accepted the most and the fewest.
  uint32_t spread() const {
    uint32_t least = taken[1];
    uint32_t most = taken[1];
    for (uint32_t slot = 1; slot <= count(); ++slot) {
      least = std::min(least, taken[slot]);
      most = std::max(most, taken[slot]);
    }
    return most - least;
  }

  // Its event loop is in a turn since then; 0: it waits for work.
  void busy_since(uint32_t slot, uint64_t time) { of(slot).loop_clock = time; }

  std::vector<uint32_t> taken;  // by slot
  uint64_t now = 10'000 * kMs;

 private:
  static Segment& segment() {
    // In its exact size, so that AddressSanitizer sees a step outside.
    static Segment* const memory = new (std::aligned_alloc(alignof(Segment), sizeof(Segment))) Segment{};
    return *memory;
  }

  std::deque<Gate> gates_;
  std::minstd_rand random{42};
};

void equal(uint32_t got, uint32_t wanted, const char* what) { check(got == wanted, what, got); }

void is(Verdict got, Verdict wanted, const char* what) {
  check(got == wanted, what, static_cast<int64_t>(got));
}

void one_by_one_each_gets_the_same() {
  for (const uint32_t count : {1U, 2U, 3U, 7U}) {
    Replicas replicas(count);
    for (uint32_t round = 0; round < 50; ++round) {
      for (uint32_t i = 0; i < count; ++i) replicas.connection(kSlow);
      equal(replicas.spread(), 0, "after each round all have as many");
    }
  }
}

void a_lead_stays_within_its_limit_however_fast_they_come() {
  Replicas replicas(4);
  for (uint32_t i = 0; i < 10'000; ++i) {
    replicas.connection(i % 100 * 100);
    check(replicas.spread() <= static_cast<uint32_t>(kLead), "a lead of 16 at most", replicas.spread());
  }
}

void the_lead_over_an_idle_fellow_grows_with_the_rate() {
  const struct {
    uint32_t lately;  // that each has accepted at once
    uint32_t lead;
  } cases[] = {{0, 1}, {4, 2}, {20, 7}, {64, kLead}, {1000, kLead}};
  for (const auto& [lately, lead] : cases) {
    Replicas replicas(2);
    for (uint32_t i = 0; i < lately; ++i)
      for (const uint32_t slot : {1U, 2U}) is(replicas.offer(slot), Verdict::kAccept, "by turns");
    equal(replicas.accepts(1, 1000), lead, "at the rate of that moment");
    replicas.accepts(2, lead);
    replicas.pass(100 * static_cast<uint64_t>(kLately));
    equal(replicas.accepts(1, 1000), 1, "when they come one by one again");
  }
}

void a_fellow_at_work_may_be_led_by_more() {
  Replicas replicas(2);
  for (uint32_t i = 0; i < kLead; ++i) {
    replicas.pass(kSlow);
    replicas.busy_since(2, replicas.now - kMs);
    is(replicas.offer(1), Verdict::kAccept, "not waited for yet");
  }
  is(replicas.offer(1), Verdict::kAhead, "waited for from here on");
  replicas.busy_since(2, 0);
  is(replicas.offer(1), Verdict::kAhead, "idle: its turn all the more");
}

void counts_wrap() {
  for (uint32_t before = 0; before < 40; ++before) {
    Replicas replicas(3, 0xffff'ffff - before);
    for (uint32_t i = 0; i < 90; ++i) {
      replicas.connection(kSlow);
      for (uint32_t slot = 1; slot <= 3; ++slot)
        check(replicas.listener().accepted[slot] != 0, "0 is for who does not listen", i);
      check(replicas.spread() <= 2, "one more than elsewhere, since 0 is left out", replicas.spread());
    }
  }
}

void who_is_not_to_serve_accepts_nothing_and_is_not_waited_for() {
  struct Reason {
    const char* what;
    void (*begin)(Slot&);
  };
  const Reason reasons[] = {
      {"no process", [](Slot& slot) { slot.pid = 0; }},
      {"away", [](Slot& slot) { slot.state = static_cast<uint32_t>(SlotState::away); }},
      {"a window", [](Slot& slot) { slot.windows = 1; }},
      {"two windows", [](Slot& slot) { slot.windows = 2; }},
      {"as many messages as it may have", [](Slot& slot) { slot.max_queue = slot.unfinished = 5; }},
      {"more than that", [](Slot& slot) { slot.unfinished = 6, slot.max_queue = 5; }},
  };
  for (const Reason& reason : reasons) {
    Replicas replicas(2);
    reason.begin(replicas.of(2));
    is(replicas.offer(2), Verdict::kNotServing, reason.what);
    equal(replicas.accepts(1, 100), 100, reason.what);
    reason.begin(replicas.of(1));
    is(replicas.offer(1), Verdict::kNotServing, "all: they wait");
  }
  Replicas replicas(2);
  replicas.of(2).unfinished = 1000;
  equal(replicas.accepts(1, 100), 1, "without a limit any number is well");
  replicas.of(2).max_queue = 1001;
  is(replicas.offer(1), Verdict::kAhead, "one less than it may have");
}

void who_stands_still_is_waited_for_a_moment() {
  const uint64_t patience = kPatience;
  Replicas replicas(2);
  replicas.busy_since(2, replicas.now);
  replicas.now += patience - 1;
  equal(replicas.accepts(1, 100), kLead, "in its turn for less than that");
  replicas.now += 1;
  equal(replicas.accepts(1, 100), 100, "in its turn for as long as that");
  replicas.busy_since(2, replicas.now + kSlow);
  is(replicas.offer(1), Verdict::kAhead, "a clock that is ahead of ours says nothing");
}

void who_says_that_it_waits_for_work_and_does_not_is_stopped() {
  const uint64_t patience = kPatience;
  Replicas replicas(2);
  replicas.accepts(1, 1);
  is(replicas.offer(1), Verdict::kAhead, "its turn");
  replicas.now += patience - 1;
  is(replicas.offer(1), Verdict::kAhead, "still");
  replicas.of(2).loop_idle = 7;
  replicas.now += 1;
  is(replicas.offer(1), Verdict::kAhead, "it has turned: from the beginning");
  replicas.now += patience - 1;
  is(replicas.offer(1), Verdict::kAhead, "still");
  replicas.now += 1;
  equal(replicas.accepts(1, 100), 100, "passed over, for all connections until it turns");
  replicas.gate(1).nothing_waits();
  equal(replicas.accepts(1, 100), 100, "and after a pause too");
  replicas.of(2).loop_idle = 8;
  is(replicas.offer(1), Verdict::kAhead, "it turns: waited for again");
}

void who_sleeps_for_want_of_connections_has_a_good_reason() {
  const uint64_t patience = kPatience;
  Replicas replicas(2);
  replicas.accepts(1, 1);
  for (uint32_t i = 0; i < 10; ++i) {
    is(replicas.offer(1), Verdict::kAhead, "its turn");
    replicas.now += patience - 1;
    replicas.gate(1).nothing_waits();
  }
  is(replicas.offer(1), Verdict::kAhead, "its turn");
  replicas.now += patience;
  is(replicas.offer(1), Verdict::kAccept, "but not when one waits for as long");
}

// Why a replica may accept nothing for some time, and the end of it.
struct Hindrance {
  const char* what;
  void (*begin)(Slot&, uint64_t now);
  void (*end)(Slot&);
};

constexpr Hindrance kHindrances[] = {
    {"not there to serve", [](Slot& slot, uint64_t) { slot.state = static_cast<uint32_t>(SlotState::away); },
     [](Slot& slot) { slot.state = static_cast<uint32_t>(SlotState::serving); }},
    {"a window", [](Slot& slot, uint64_t) { slot.windows = 1; }, [](Slot& slot) { slot.windows = 0; }},
    {"a full queue", [](Slot& slot, uint64_t) { slot.max_queue = slot.unfinished = 3; },
     [](Slot& slot) { slot.unfinished = 0; }},
    {"a long turn", [](Slot& slot, uint64_t now) { slot.loop_clock = now - kPatience; },
     [](Slot& slot) { slot.loop_clock = 0; }},
    {"a long turn that the primary has seen",
     [](Slot& slot, uint64_t now) {
       slot.loop_clock = now - 1000 * kPatience;
       slot.state = static_cast<uint32_t>(SlotState::blocked);
     },
     [](Slot& slot) {
       slot.loop_clock = 0;
       slot.state = static_cast<uint32_t>(SlotState::serving);
     }},
};

void who_joins_is_level_with_the_foremost() {
  Replicas replicas(3);
  replicas.gate(3).leave();
  for (uint32_t i = 0; i < 1000; ++i) {
    replicas.pass(kSlow);
    if (replicas.offer(1) != Verdict::kAccept) replicas.offer(2);
  }
  equal(replicas.taken[1], 500, "half");
  replicas.gate(3).join();
  replicas.pass(kSlow);
  equal(replicas.accepts(3, 100), 1, "it is owed nothing");
  equal(replicas.accepts(1, 100), 1, "and owes nothing");
  equal(replicas.accepts(2, 100), 2, "level with them, and one ahead");
}

void who_joins_is_level_with_those_too_that_cannot_accept_now() {
  for (const Hindrance& hindrance : kHindrances) {
    Replicas replicas(3);
    replicas.gate(3).leave();
    for (const uint32_t slot : {1U, 2U}) {
      replicas.offer(slot);
      replicas.listener().accepted[slot] = 1000 * slot;
      hindrance.begin(replicas.of(slot), replicas.now);
    }
    replicas.gate(3).join();
    equal(replicas.listener().accepted[3], 2000, hindrance.what);
    for (const uint32_t slot : {1U, 2U}) hindrance.end(replicas.of(slot));
    equal(replicas.accepts(3, 1000), 0, "the other is behind");
    for (const uint32_t slot : {2U, 3U})
      replicas.busy_since(slot, replicas.now);  // so that a lead is the same
    equal(replicas.accepts(1, 5000), 1000 + kLead, "what it is owed is the other's, and a lead");
    equal(replicas.accepts(3, 1000), kLead, "level with the foremost, and a lead");
  }
}

void who_is_gone_is_no_measure() {
  Replicas replicas(3);
  replicas.gate(3).leave();
  replicas.listener().accepted[2] = 5000;
  replicas.of(2).pid = 0;  // its count will be cleared
  replicas.gate(3).join();
  equal(replicas.listener().accepted[3], 1, "level with the other one");
}

void who_joins_before_it_may_serve_is_owed_nothing_of_the_time_until_then() {
  for (const uint64_t start : {kMs, 200 * kMs, kSlow}) {
    Replicas replicas(2);
    replicas.offer(2);
    replicas.gate(2).leave();
    replicas.of(2).state = static_cast<uint32_t>(SlotState::away);
    replicas.gate(2).join();
    is(replicas.offer(2), Verdict::kNotServing, "it starts");
    equal(replicas.accepts(1, 1000), 1000, "the other goes on");
    replicas.now += start;
    replicas.of(2).state = static_cast<uint32_t>(SlotState::serving);
    replicas.busy_since(1, replicas.now);  // at work
    equal(replicas.accepts(2, 5000), 2 * kLead, "what anyone may be behind, and a lead");
  }
}

void who_leaves_and_joins_again_is_owed_nothing_whoever_could_accept() {
  for (const Hindrance& hindrance : kHindrances) {
    Replicas replicas(2);
    replicas.gate(2).leave();
    equal(replicas.accepts(1, 1000), 1000, "the other goes on");
    hindrance.begin(replicas.of(1), replicas.now);
    replicas.gate(2).join();
    equal(replicas.accepts(2, 100), 100, "alone");
    hindrance.end(replicas.of(1));
    replicas.busy_since(2, replicas.now);
    equal(replicas.accepts(1, 5000), 100 + kLead, "which the other gets back");
  }
}

void who_comes_back_while_nobody_else_can_accept_gets_no_burst() {
  for (const Hindrance& mine : kHindrances) {
    for (const Hindrance& others : kHindrances) {
      Replicas replicas(2);
      replicas.offer(1);
      replicas.offer(2);
      mine.begin(replicas.of(2), replicas.now);
      if (replicas.of(2).loop_clock == 0) replicas.offer(2);  // it looks, and may not
      equal(replicas.accepts(1, 1000), 1000, "the other goes on");
      replicas.now += kSlow;
      others.begin(replicas.of(1), replicas.now);
      mine.end(replicas.of(2));
      is(replicas.offer(2), Verdict::kAccept, mine.what);
      others.end(replicas.of(1));
      replicas.busy_since(1, replicas.now);  // at work
      equal(replicas.accepts(2, 5000), 2 * kLead - 1, others.what);
    }
  }
}

void whether_the_primary_has_seen_a_loop_turn_again_is_all_the_same() {
  Replicas replicas(2);
  replicas.of(2).state = static_cast<uint32_t>(SlotState::blocked);
  replicas.accepts(1, 1);
  is(replicas.offer(1), Verdict::kAhead, "waited for, since its clock says that it turns");
  is(replicas.offer(2), Verdict::kAccept, "as soon as it turns");
  replicas.busy_since(2, replicas.now);
  replicas.now += kPatience;
  equal(replicas.accepts(1, 100), 100, "passed over, since it does not");
}

void who_has_left_is_not_waited_for() {
  Replicas replicas(3);
  replicas.gate(2).leave();
  replicas.gate(3).leave();
  equal(replicas.accepts(1, 100), 100, "alone");
  replicas.gate(2).join();
  replicas.pass(kSlow);
  equal(replicas.accepts(2, 1), 1, "one");
  is(replicas.offer(2), Verdict::kAhead, "the other's turn");
}

void a_moment_is_given_back_and_a_long_time_is_not() {
  const struct {
    uint32_t limit;  // ms, as its slot says
    uint64_t away;   // ns
    bool given_back;
  } cases[] = {
      {0, 249 * kMs, true},        {0, 250 * kMs, false}, {2'000, 1'999 * kMs, true},
      {2'000, 2'000 * kMs, false}, {20, 20 * kMs, false},
  };
  for (const auto& [limit, away, given_back] : cases) {
    Replicas replicas(2);
    replicas.of(2).blocked_after = limit;
    replicas.offer(1);
    replicas.offer(2);  // now it could have
    replicas.busy_since(2, replicas.now);
    replicas.now += away;
    equal(replicas.accepts(1, 1000), 1000, "the other goes on");
    replicas.busy_since(1, replicas.now);  // at work, so that the lead is the same at any rate
    replicas.busy_since(2, 0);
    const uint32_t behind = given_back ? 1000 : kLead;
    equal(replicas.accepts(2, behind), behind, "what it is given back");
    equal(replicas.accepts(2, 5000), kLead, "and then a lead");
  }
}

void what_was_missed_for_having_too_much_to_do_is_not_given_back() {
  Replicas replicas(2);
  replicas.offer(1);
  replicas.offer(2);
  replicas.of(2).max_queue = 3;
  replicas.of(2).unfinished = 3;
  replicas.offer(2);
  equal(replicas.accepts(1, 1000), 1000, "the other goes on");
  replicas.now += kMs;
  replicas.busy_since(1, replicas.now);  // at work
  replicas.of(2).unfinished = 2;
  equal(replicas.accepts(2, 5000), 2 * kLead, "what anyone may be behind, and a lead");
  replicas.busy_since(2, replicas.now);
  replicas.pass(100 * kMs);
  equal(replicas.accepts(1, 1000), 1000, "the other goes on");
  replicas.busy_since(1, replicas.now);
  replicas.busy_since(2, 0);
  equal(replicas.accepts(2, 1000), 1000, "a moment is given back as ever");
}

void what_anyone_may_be_behind_stays() {
  Replicas replicas(3);
  for (const uint32_t slot : {1U, 3U}) replicas.busy_since(slot, replicas.now);
  equal(replicas.accepts(2, 10), 10, "not so far ahead");
  replicas.now += kSlow;
  const uint32_t before = replicas.listener().accepted[1];
  replicas.gate(1).look(replicas.now);
  equal(replicas.listener().accepted[1], before, "however long it was away");
}

void a_listener_that_somebody_spoils_is_read_within_its_bounds() {
  Replicas replicas(2);
  replicas.listener().slots = 0xffff'ffff;
  replicas.accepts(1, 100);
  replicas.gate(2).join();
  equal(replicas.listener().slots, 0xffff'ffff, "only raised");
}

constexpr examples::Scenario kScenarios[] = {
    SCENARIO(one_by_one_each_gets_the_same),
    SCENARIO(a_lead_stays_within_its_limit_however_fast_they_come),
    SCENARIO(the_lead_over_an_idle_fellow_grows_with_the_rate),
    SCENARIO(a_fellow_at_work_may_be_led_by_more),
    SCENARIO(counts_wrap),
    SCENARIO(who_is_not_to_serve_accepts_nothing_and_is_not_waited_for),
    SCENARIO(who_stands_still_is_waited_for_a_moment),
    SCENARIO(who_says_that_it_waits_for_work_and_does_not_is_stopped),
    SCENARIO(who_sleeps_for_want_of_connections_has_a_good_reason),
    SCENARIO(who_joins_is_level_with_the_foremost),
    SCENARIO(who_joins_is_level_with_those_too_that_cannot_accept_now),
    SCENARIO(who_is_gone_is_no_measure),
    SCENARIO(who_joins_before_it_may_serve_is_owed_nothing_of_the_time_until_then),
    SCENARIO(who_leaves_and_joins_again_is_owed_nothing_whoever_could_accept),
    SCENARIO(who_comes_back_while_nobody_else_can_accept_gets_no_burst),
    SCENARIO(whether_the_primary_has_seen_a_loop_turn_again_is_all_the_same),
    SCENARIO(who_has_left_is_not_waited_for),
    SCENARIO(a_moment_is_given_back_and_a_long_time_is_not),
    SCENARIO(what_was_missed_for_having_too_much_to_do_is_not_given_back),
    SCENARIO(what_anyone_may_be_behind_stays),
    SCENARIO(a_listener_that_somebody_spoils_is_read_within_its_bounds),
};

}  // namespace
}  // namespace ballermann

int main() { examples::run(ballermann::kScenarios); }
