// std::atomic look-alikes on top of Relacy, so that native/ring.hpp and native/stream.hpp run under it as
// they are written.
//
// Relacy executes one thread at a time and chooses, at every atomic operation, who goes on, whether a weak
// swap fails, and which of the values that the C++ memory model allows a load sees. What it lacks is a load
// that takes effect late, after a later operation of its own thread (a CPU may do that with a relaxed load
// until the thread's next release). `LateLoads` adds it: a load may foretell a value; the execution counts
// only if that value is there before the thread's next release, else it is thrown away.
#pragma once

#include <relacy/relacy.hpp>
// Relacy renames these for its own look-alikes. Ours are called by their own names.
#undef assert
#undef calloc
#undef delete
#undef errno
#undef free
#undef malloc
#undef memory_order_acq_rel
#undef memory_order_acquire
#undef memory_order_consume
#undef memory_order_relaxed
#undef memory_order_release
#undef memory_order_seq_cst
#undef new
#undef realloc

#include <atomic>
#include <source_location>

namespace checked {

using Where = std::source_location;

inline rl::debug_info info_of(const Where& where) {
  return {where.function_name(), where.file_name(), where.line()};
}

inline rl::memory_order order_of(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed:
      return rl::mo_relaxed;
    case std::memory_order_consume:
      return rl::mo_consume;
    case std::memory_order_acquire:
      return rl::mo_acquire;
    case std::memory_order_release:
      return rl::mo_release;
    case std::memory_order_acq_rel:
      return rl::mo_acq_rel;
    case std::memory_order_seq_cst:
      return rl::mo_seq_cst;
  }
  return rl::mo_seq_cst;
}

inline bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}

// Loads that have foretold what they will have seen.
struct LateLoads {
  static constexpr unsigned kMax = 4;
  struct Foretold {
    const void* address;
    uint64_t value;
    rl::thread_id_t thread;
    bool due;  // not yet fulfilled
  };
  // What a late load may foretell; none where the scenario has no late loads.
  uint64_t values[2] = {};
  unsigned value_count = 0;
  Foretold foretold[kMax] = {};
  unsigned count = 0;
  bool impossible = false;  // a foretold value did not come in time: this execution does not exist

  void stored(const void* address, uint64_t value) {
    for (unsigned i = 0; i < count; ++i)
      if (foretold[i].address == address && foretold[i].value == value) foretold[i].due = false;
  }
  void released(rl::thread_id_t thread) {
    for (unsigned i = 0; i < count; ++i)
      if (foretold[i].due && foretold[i].thread == thread) impossible = true;
  }
  void ended() {
    for (unsigned i = 0; i < count; ++i)
      if (foretold[i].due) impossible = true;
  }
};

inline LateLoads late;  // of the execution that runs now; each begins with a new one

inline rl::thread_id_t this_thread() { return rl::ctx().threadx_->index_; }

template <typename T>
class atomic {
 public:
  static constexpr bool is_always_lock_free = true;

  atomic() : value_(T{}) {}

  T load(std::memory_order order, Where where = Where::current()) const {
    const T value = value_.load(order_of(order), info_of(where));
    // Only table entries (64 bits) come late: everything else that a claim loads decides what it does next.
    if (sizeof(T) == 8 && order == std::memory_order_relaxed && late.value_count > 0 &&
        late.count < LateLoads::kMax) {
      const unsigned choice = rl::rand(late.value_count + 1);
      if (choice > 0) {
        const uint64_t foretold = late.values[choice - 1];
        late.foretold[late.count++] = {this, foretold, this_thread(), true};
        return static_cast<T>(foretold);
      }
    }
    return value;
  }

  void store(T value, std::memory_order order, Where where = Where::current()) {
    value_.store(value, order_of(order), info_of(where));
    if (releases(order)) late.released(this_thread());
    late.stored(this, value);
  }

  T fetch_add(T value, std::memory_order order, Where where = Where::current()) {
    const T before = value_.fetch_add(value, order_of(order), info_of(where));
    if (releases(order)) late.released(this_thread());
    return before;
  }

  T fetch_sub(T value, std::memory_order order, Where where = Where::current()) {
    const T before = value_.fetch_sub(value, order_of(order), info_of(where));
    if (releases(order)) late.released(this_thread());
    return before;
  }

  T fetch_or(T value, std::memory_order order, Where where = Where::current()) {
    const T before = value_.fetch_or(value, order_of(order), info_of(where));
    if (releases(order)) late.released(this_thread());
    return before;
  }

  T fetch_and(T value, std::memory_order order, Where where = Where::current()) {
    const T before = value_.fetch_and(value, order_of(order), info_of(where));
    if (releases(order)) late.released(this_thread());
    return before;
  }

  T exchange(T value, std::memory_order order, Where where = Where::current()) {
    const T before = value_.exchange(value, order_of(order), info_of(where));
    if (releases(order)) late.released(this_thread());
    return before;
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure,
                             Where where = Where::current()) {
    // Relacy refuses a failure order above the success order, which C++17 allows: it fails relaxed then, and
    // a fence makes up for it.
    const bool split = failure == std::memory_order_acquire &&
                       (success == std::memory_order_relaxed || success == std::memory_order_release);
    const bool swapped =
        value_.compare_exchange_weak(expected, desired, order_of(success), info_of(where),
                                     split ? rl::mo_relaxed : order_of(failure), info_of(where));
    if (swapped && releases(success)) late.released(this_thread());
    if (!swapped && split) rl::atomic_thread_fence(rl::mo_acquire, info_of(where));
    return swapped;
  }

 private:
  mutable rl::atomic<T> value_;
};

// Memory of which a scenario must never read and write, or write twice, at the same time; nor read what was
// never written.
class Cell {
 public:
  uint64_t load(Where where = Where::current()) const { return value_(info_of(where)); }
  Cell& operator=(uint64_t value) {
    value_(info_of(Where::current())) = value;
    return *this;
  }
  Cell& operator=(const Cell& other) { return *this = other.load(); }

 private:
  rl::var<uint64_t> value_;
};

inline void atomic_thread_fence(std::memory_order order, Where where = Where::current()) {
  rl::atomic_thread_fence(order_of(order), info_of(where));
  if (releases(order)) late.released(this_thread());
}

}  // namespace checked
