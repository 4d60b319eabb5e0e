// Which of the replicas that share a listening socket may accept its next connection. No Node in it.
//
// Each replica counts in shared memory what it accepts. One that is ahead of a fellow leaves the next
// connection to it if the fellow is idle, and can take it at once; if the fellow is at work, or connections
// come fast, only from a larger lead on, or the fast would wait for the slow. It does not where the fellow
// could not take it: it is not serving, it holds a window, it has as many messages as it may, or its event
// loop does not turn. Counts are compared by their difference, so they may wrap.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "layout.hpp"
#include "old_glibc.hpp"

namespace ballermann {

// By how many connections a replica may be ahead of another that is at work.
inline constexpr int32_t kLead = 16;

// What counts as lately, in ns, and how many connections accepted lately allow one more of lead over an idle
// fellow.
inline constexpr double kLately = 10'000'000;
inline constexpr double kPerLead = 4;

// How long others wait for a replica whose event loop does not turn, in ns.
inline constexpr int64_t kPatience = 20'000'000;

// Of one swap; reached only when somebody spoils the word.
inline constexpr uint32_t kMaxSwaps = 4096;

// Not whether its event loop turns: that is told by its clock at any time, by its primary later.
inline bool is_serving(const Slot& slot) {
  return slot.pid.load(std::memory_order_relaxed) != 0 &&
         slot.state.load(std::memory_order_relaxed) != static_cast<uint32_t>(SlotState::away) &&
         slot.windows.load(std::memory_order_seq_cst) == 0;
}

// It has as many unfinished messages as a pool over its supervisor gives it.
inline bool is_overloaded(const Slot& slot) {
  const uint32_t max_queue = slot.max_queue.load(std::memory_order_relaxed);
  return max_queue != 0 && slot.unfinished.load(std::memory_order_relaxed) >= max_queue;
}

// By the slot's own word. A clock that runs ahead of ours is no reason.
inline bool is_busy(const Slot& slot, uint64_t now) {
  const uint64_t since = slot.loop_clock.load(std::memory_order_relaxed);
  return since != 0 && static_cast<int64_t>(now - since) >= kPatience;
}

inline bool is_eligible(const Slot& slot, uint64_t now) {
  return is_serving(slot) && !is_overloaded(slot) && !is_busy(slot, now);
}

enum class Verdict {
  kAccept,
  kAhead,       // another replica's turn
  kNotServing,  // this replica is to accept nothing now
};

// One replica's view of one listener. `now` is monotonic, in ns.
class Gate {
 public:
  // Both must be below the counts that the layout states.
  Gate(const Segment& segment, Listener& listener, uint32_t self)
      : segment_(segment), listener_(listener), self_(self) {}

  // Begins to listen, level with the foremost: the others owe it nothing, nor do they until it can first
  // accept.
  void join() {
    set_own(at_least_one(foremost()));
    is_owed_ = false;
    uint32_t slots = listener_.slots.load(std::memory_order_relaxed);
    for (uint32_t attempt = 0; attempt < kMaxSwaps && slots <= self_; ++attempt)
      if (listener_.slots.compare_exchange_weak(slots, self_ + 1)) return;
  }

  void leave() { set_own(0); }

  // Only of one that has joined and has not left.
  Verdict look(uint64_t now) {
    const Slot& slot = segment_.slots[self_];
    if (!is_serving(slot)) return Verdict::kNotServing;
    if (is_overloaded(slot)) {
      is_owed_ = false;
      return Verdict::kNotServing;
    }
    if (!is_owed_ || now - could_accept_ >= blocked_after(slot)) forgo();
    is_owed_ = true;
    could_accept_ = now;
    Verdict verdict = Verdict::kAccept;
    const int32_t over_idle = lead_over_idle(now);
    for_each_other([&](uint32_t slot, uint32_t count) {
      const int32_t lead = ahead(own(), count);
      const int32_t limit = is_in_poll(slot) ? over_idle : kLead;
      if (lead >= limit && waits_for(slot, now)) verdict = Verdict::kAhead;
    });
    return verdict;
  }

  void accepted(uint64_t now) {
    set_own(at_least_one(own() + 1));
    recent_ = recent(now) + 1;
    recent_at_ = now;
  }

  // No connection waits: whoever was waited for may have slept with good reason.
  void nothing_waits() { ++round_; }

 private:
  // What was seen of a replica whose turn it is.
  struct Seen {
    uint32_t round = 0;
    uint64_t turns = 0;  // a word that changes with each turn of its event loop
    uint64_t since = 0;
    bool passed_over = false;
  };

  // 0 is the count of who does not listen.
  static uint32_t at_least_one(uint32_t count) { return count == 0 ? 1 : count; }

  static int32_t ahead(uint32_t count, uint32_t other) { return static_cast<int32_t>(count - other); }

  uint32_t own() const { return listener_.accepted[self_].load(std::memory_order_relaxed); }

  void set_own(uint32_t count) { listener_.accepted[self_].store(count, std::memory_order_relaxed); }

  // The count of the foremost that listens, this replica included. Whether that one could accept now says
  // nothing of how many the others have had.
  uint32_t foremost() const {
    uint32_t most = own();
    for_each_other([&](uint32_t slot, uint32_t count) {
      if (segment_.slots[slot].pid.load(std::memory_order_relaxed) == 0) return;  // its process is gone
      if (most == 0 || ahead(count, most) > 0) most = count;
    });
    return most;
  }

  // What this replica missed in a moment it gets back, since the others wait for it now. What it missed in a
  // long time, or for having too much to do, it does not: that would be a burst for this replica and a long
  // wait for the others. Only who was passed over is behind by more than kLead.
  void forgo() {
    const uint32_t most = foremost();
    if (ahead(most, own()) > kLead) set_own(at_least_one(most - kLead));
  }

  template <typename See>
  void for_each_other(See see) const {
    const uint32_t slots = std::min(listener_.slots.load(std::memory_order_relaxed), kSlotCount);
    for (uint32_t slot = 1; slot < slots; ++slot) {
      const uint32_t count = listener_.accepted[slot].load(std::memory_order_relaxed);
      if (count != 0 && slot != self_) see(slot, count);
    }
  }

  // What this replica accepted lately, where what is older counts less.
  double recent(uint64_t now) const {
    return recent_ * std::exp(-static_cast<double>(now - recent_at_) / kLately);
  }

  // Waiting for an idle fellow costs a turn of its loop for each connection. That is nothing where they come
  // one by one, and all there is where they come by the thousand.
  int32_t lead_over_idle(uint64_t now) const {
    return std::min(kLead, 1 + static_cast<int32_t>(recent(now) / kPerLead));
  }

  bool is_in_poll(uint32_t slot) const {
    return segment_.slots[slot].loop_clock.load(std::memory_order_relaxed) == 0;
  }

  // The clock of a stopped process says "in poll" too. So one that has a connection to accept and does not
  // turn for as long is passed over as well, until it turns.
  bool waits_for(uint32_t slot, uint64_t now) {
    const Slot& other = segment_.slots[slot];
    if (!is_eligible(other, now)) return false;
    if (seen_.size() <= slot) seen_.resize(slot + 1);
    Seen& seen = seen_[slot];
    const uint64_t turns = other.loop_idle.load(std::memory_order_relaxed);
    if (seen.turns != turns || (seen.round != round_ && !seen.passed_over))
      seen = {round_, turns, now, false};
    seen.passed_over = static_cast<int64_t>(now - seen.since) >= kPatience;
    return !seen.passed_over;
  }

  const Segment& segment_;
  Listener& listener_;
  const uint32_t self_;
  uint64_t could_accept_ = 0;  // when this replica last could have
  bool is_owed_ = false;       // what it has missed since then
  double recent_ = 0;
  uint64_t recent_at_ = 0;
  uint32_t round_ = 1;
  std::vector<Seen> seen_;  // by slot
};

}  // namespace ballermann
