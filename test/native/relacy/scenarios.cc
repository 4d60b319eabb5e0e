// What takers, a publisher that pauses, and finders do with one ring, and what must hold then. Relacy runs
// each scenario in every order (up to a number of forced switches) and in many random ones.
//
//   scenarios <name> <bound> <random executions>
//
// Says `ok <name> ...`, or `caught <name>: <check>` and exits with 1. `small/ring.hpp` is native/ring.hpp
// with the checker's atomics and small tables; scripts/verify/relacy.js writes it, weakened where that is
// wanted.
#include <checked.hpp>
//
#include "runner.hpp"
#include "small/ring.hpp"

namespace ballermann {
namespace {

constexpr uint32_t kFirstKey = 0xfffffffa;  // generation 2^31 - 3: the next ones cross its wrap

uint64_t entry(uint32_t pid, uint32_t slot) { return uint64_t{slot} << 32 | pid; }

struct Generation {
  uint32_t key;
  uint32_t count;
  uint64_t entries[kMaxReplicas];
  bool claimed;
  uint32_t first;  // where its claims start: all at the same place, as each is made of whole rotations
  uint32_t pool;   // who owned the ring
};

// A ring in use, and what is known of it from outside: plain memory, which costs no scheduling point.
template <typename Derived, rl::thread_id_t kThreads>
struct World : rl::test_suite<Derived, kThreads> {
  Segment segment;
  Generation generations[8];
  uint32_t begun = 0;  // publications begun, and done; generation 0 is there from the start
  uint32_t done = 0;
  bool paused = false;  // from the return of pause() until just before resume()
  uint32_t pauses = 0;
  uint32_t pool = 0;

  Ring& ring() { return segment.rings[0]; }

  void start(uint32_t ticket, uint32_t count) {
    checked::late = checked::LateLoads{};
    generations[0] = made(kFirstKey, 10, count);
    Table& table = ring().tables[table_of(kFirstKey)];
    table.count.store(count, std::memory_order_relaxed);
    for (uint32_t i = 0; i < count; ++i)
      table.entries[i].store(generations[0].entries[i], std::memory_order_relaxed);
    ring().word.store(word_of(ticket, kFirstKey), std::memory_order_seq_cst);
  }

  Generation made(uint32_t key, uint32_t first_pid, uint32_t count) {
    Generation generation{key & ~1u, count, {}, false, 0, pool};
    for (uint32_t i = 0; i < count; ++i)
      generation.entries[i] = entry(first_pid + i, (first_pid + i) % kSlotCount);
    return generation;
  }

  // What publishes in the course of a scenario goes through here, so that it is known before it can be seen.
  void publishing(uint32_t first_pid, uint32_t count) {
    generations[begun + 1] = made(next_generation(generations[begun].key), first_pid, count);
    begun++;
  }

  void publish_pids(uint32_t first_pid, uint32_t count) {
    publishing(first_pid, count);
    publish(ring(), generations[begun].entries, count);
    done = begun;
  }

  void pause_ring() {
    pauses++;
    pause(ring());
    paused = true;
  }

  void resume_ring() {
    paused = false;
    resume(ring());
  }

  // One claim, with everything that must hold of its answer.
  Claimed take(uint32_t wanted, Rotation& own) {
    const uint32_t done_before = done;
    const Claimed claimed = claim(ring(), wanted, own);
    if (claimed == Claimed::kPaused) MUST(pauses > 0, "refused as paused, but was never paused");
    if (claimed != Claimed::kTickets && claimed != Claimed::kEmpty) return claimed;

    MUST(!paused || claimed == Claimed::kEmpty,
         "a claim succeeded between the return of pause() and resume()");
    Generation* of = nullptr;
    for (uint32_t i = done_before; i <= begun; ++i)
      if (generations[i].key == own.key) of = &generations[i];
    MUST(of != nullptr, "a claim of a generation that is over");
    if (claimed == Claimed::kEmpty) {
      MUST(of->count == 0, "refused as empty, but was not");
      return claimed;
    }
    MUST(own.count == of->count && own.count > 0, "a table of another generation (count)");
    for (uint32_t i = 0; i < own.count; ++i)
      MUST(of->entries[i] == entry(own.pids[i], own.slots[i]), "a pid of another generation");
    MUST(own.left > 0 && own.left % own.count == 0, "a claim that is no whole rotation");
    MUST(own.first < own.count, "a claim that starts outside the table");
    MUST(!of->claimed || of->first == own.first, "claims do not tile the rotation");
    of->claimed = true;
    of->first = own.first;
    return claimed;
  }
};

Rotation no_rotation() {
  Rotation own{};
  own.key = kNoKey;
  return own;
}

// Takers only, just below the wrap of the ticket: the claims tile the rotation, none lost, none doubled.
template <rl::thread_id_t kTakers>
struct Claims : World<Claims<kTakers>, kTakers> {
  static constexpr uint32_t kStart = 0xfffffffc;
  static constexpr uint32_t kEach = 2;
  uint32_t claims = 0;

  void before() { this->start(kStart, 3); }

  void thread(unsigned) {
    Rotation own = no_rotation();
    for (uint32_t i = 0; i < kEach; ++i) claims += this->take(4, own) == Claimed::kTickets;
  }

  void after() {
    uint64_t ticket = kStart;
    for (uint32_t i = 0; i < claims; ++i) {
      ticket += 3;
      if (ticket > UINT32_MAX) ticket %= 3;
    }
    const uint64_t word = this->ring().word.load(std::memory_order_relaxed);
    MUST(ticket_of(word) == ticket, "tickets lost or doubled");
  }
};

// A new generation comes meanwhile, of another size.
template <rl::thread_id_t kTakers>
struct Change : World<Change<kTakers>, kTakers + 1> {
  void before() { this->start(5, 2); }

  void thread(unsigned index) {
    if (index == kTakers) return this->publish_pids(20, 1);
    Rotation own = no_rotation();
    for (uint32_t i = 0; i < 4 - kTakers; ++i) this->take(2, own);
  }
};

// Two new generations: the second is written where the first taker may still be reading the one before.
template <rl::thread_id_t kTakers>
struct Reuse : World<Reuse<kTakers>, kTakers + 1> {
  void before() { this->start(5, 2); }

  void thread(unsigned index) {
    if (index == kTakers) {
      this->publish_pids(20, 1);
      this->publish_pids(30, 2);
      return;
    }
    Rotation own = no_rotation();
    this->take(1, own);
  }
};

// The same with loads of entries that come late (see checked.hpp).
struct LateReuse : World<LateReuse, 2> {
  void before() {
    start(5, 2);
    checked::late.values[0] = entry(30, 30 % kSlotCount);
    checked::late.value_count = 1;
  }

  void thread(unsigned index) {
    if (index == 1) {
      publish_pids(20, 1);
      publish_pids(30, 2);
      return;
    }
    // What it claims is looked at when the whole execution is known: its loads may not have happened yet.
    claimed_ = claim(ring(), 1, own_);
  }

  void after() {
    checked::late.ended();
    if (claimed_ != Claimed::kTickets) return;
    for (const Generation& generation : generations) {
      if (generation.key != own_.key) continue;
      for (uint32_t i = 0; i < own_.count; ++i)
        MUST(generation.entries[i] == entry(own_.pids[i], own_.slots[i]), "a pid of another generation");
      return;
    }
    MUST(false, "a claim of no generation");
  }

  Rotation own_ = no_rotation();
  Claimed claimed_ = Claimed::kPaused;
};

// The second new generation is empty: `empty` is never answered of a table that was just being written.
struct Empty : World<Empty, 2> {
  void before() { start(5, 2); }

  void thread(unsigned index) {
    if (index == 1) {
      publish_pids(20, 1);
      publish_pids(0, 0);
      return;
    }
    Rotation own = no_rotation();
    take(1, own);
  }
};

// A pause with a refresh in it: nothing is taken from the return of pause() until resume().
template <rl::thread_id_t kTakers>
struct Pause : World<Pause<kTakers>, kTakers + 1> {
  void before() { this->start(5, 2); }

  void thread(unsigned index) {
    if (index == kTakers) {
      this->pause_ring();
      this->publish_pids(20, 1);
      this->ring().callers.load(std::memory_order_relaxed);  // time passes in the window
      this->resume_ring();
      return;
    }
    Rotation own = no_rotation();
    for (uint32_t i = 0; i < 4 - kTakers; ++i) this->take(2, own);
  }
};

// Counted callers, as a transaction does it: count, look, take a pid, work, give the count back. A window
// whose counts were seen at zero has none of them working, sees what they did, and they see what it did.
template <rl::thread_id_t kCallers>
struct Window : World<Window<kCallers>, kCallers + 1> {
  uint32_t working = 0;
  bool in_window = false;
  uint32_t windows = 0;
  rl::var<int> done_by[kCallers];  // written by the callers, read in the window: a data race unless ordered
  rl::var<int> state;              // written in the window, read by the callers

  void before() {
    this->start(5, 2);
    for (auto& done : done_by) done($) = 0;
    state($) = 0;
  }

  void thread(unsigned index) {
    if (index < kCallers) return call(index);
    this->pause_ring();
    for (int look = 0; look < 2; ++look) {
      if (running_in(this->segment, 0) != 0) continue;
      MUST(working == 0, "counted work runs in a window whose counts were seen at zero");
      in_window = true;
      for (auto& done : done_by) (void)static_cast<int>(done($));
      state($) = 1;
      this->ring().callers.load(std::memory_order_relaxed);  // time passes in the window
      in_window = false;
      break;
    }
    this->resume_ring();
  }

  void call(unsigned index) {
    auto& running = this->segment.slots[index + 1].running[0];
    if (!enter(this->ring(), running)) return;
    Rotation own = no_rotation();
    if (this->take(2, own) == Claimed::kTickets) {
      working++;
      MUST(!in_window, "counted work began in a window whose counts were seen at zero");
      (void)static_cast<int>(state($));
      this->ring().callers.load(std::memory_order_relaxed);  // time passes at work
      done_by[index]($) = 1;
      MUST(!in_window, "counted work ran in a window whose counts were seen at zero");
      working--;
    }
    leave(running);
  }
};

// As Window, with callers that take no pid: enter() alone must hold them.
struct Counted : World<Counted, 2> {
  bool in_window = false;
  bool working = false;
  rl::var<int> state;

  void before() {
    start(5, 2);
    state($) = 0;
  }

  void thread(unsigned index) {
    if (index == 1) {
      pause_ring();
      if (running_in(segment, 0) == 0) {
        MUST(!working, "counted work runs in a window whose counts were seen at zero");
        in_window = true;
        state($) = 1;
        ring().callers.load(std::memory_order_relaxed);
        in_window = false;
      }
      resume_ring();
      return;
    }
    for (int round = 0; round < 2; ++round) {
      if (!enter(ring(), segment.slots[1].running[0])) continue;
      working = true;
      MUST(!in_window, "counted work began in a window whose counts were seen at zero");
      state($) = 2;
      ring().callers.load(std::memory_order_relaxed);
      MUST(!in_window, "counted work ran in a window whose counts were seen at zero");
      working = false;
      leave(segment.slots[1].running[0]);
    }
  }
};

const Name kNameA{9, {1, 1}};
const Name kNameB{10, {2, 2}};
const Name kTorn[] = {{9, {1, 2}}, {9, {2, 1}}, {9, {2, 2}}, {10, {1, 1}}, {10, {1, 2}}, {10, {2, 1}}};

// One ring is A's, is closed, and becomes B's. No finder ever finds a name that is half of each.
template <rl::thread_id_t kFinders>
struct Directory : World<Directory<kFinders>, kFinders + 1> {
  bool opened_b = false;

  void before() {
    this->start(5, 0);
    open_ring(this->segment, kNameA, 7);
  }

  void thread(unsigned index) {
    if (index == kFinders) {
      close_ring(this->ring());
      opened_b = true;
      open_ring(this->segment, kNameB, 8);
      return;
    }
    const unsigned which = rl::rand(8);
    if (which == 7) {
      if (find_ring(this->segment, kNameB) == 0) MUST(opened_b, "found a name before it was there");
    } else if (which == 6) {
      find_ring(this->segment, kNameA);
    } else {
      MUST(find_ring(this->segment, kTorn[which]) == kPoolCount, "found a name that no pool ever had");
    }
  }
};

// The names of A and B both exist all the time: a finder of what is there finds it.
struct Reopen : World<Reopen, 2> {
  bool closed_a = false;

  void before() {
    start(5, 0);
    open_ring(segment, kNameA, 7);
  }

  void thread(unsigned index) {
    if (index == 1) {
      close_ring(ring());
      open_ring(segment, kNameB, 8);
      told_.store(1, std::memory_order_release);
      return;
    }
    const bool told = told_.load(std::memory_order_acquire) == 1;
    const uint32_t a = find_ring(segment, kNameA);
    const uint32_t b = told ? find_ring(segment, kNameB) : 0;
    if (told) MUST(a == kPoolCount && b == 0, "a finder that was told of B finds A, or not B");
  }

  checked::atomic<uint32_t> told_;
};

// From a name to a pid, as src/memory does it, while the ring goes from A to B: whoever asked for A never
// gets one of B's pids, and never B's bound of the queue.
struct Lookup : World<Lookup, 2> {
  void before() {
    start(5, 0);
    open_ring(segment, kNameA, 7);
    const uint64_t pids[] = {entry(10, 1)};
    publish(ring(), pids, 1);
  }

  void thread(unsigned index) {
    if (index == 1) {
      close_ring(ring());
      open_ring(segment, kNameB, 8);
      const uint64_t pids[] = {entry(20, 2)};
      publish(ring(), pids, 1);
      return;
    }
    if (find_ring(segment, kNameA) != 0) return;
    const uint32_t epoch = ring().epoch.load(std::memory_order_acquire);
    const uint32_t max_queue = ring().max_queue.load(std::memory_order_relaxed);
#ifndef NO_SECOND_FIND
    if (find_ring(segment, kNameA) != 0) return;
#endif
    Rotation own = no_rotation();
#ifdef EPOCH_BEFORE_CLAIM
    const uint32_t seen = ring().epoch.load(std::memory_order_relaxed);
#endif
    const Claimed claimed = claim(ring(), 1, own);
#ifndef EPOCH_BEFORE_CLAIM
    const uint32_t seen = ring().epoch.load(std::memory_order_relaxed);
#endif
    if (seen != epoch || claimed != Claimed::kTickets) return;
    MUST(own.pids[0] == 10, "a pid of another pool");
    MUST(max_queue == 7, "another pool's bound of the queue");
  }
};

}  // namespace
}  // namespace ballermann

#include "main.hpp"
