// The rotation: lock-free claims of whole rotations over a versioned table in shared memory.
//
// Roles. One publisher a ring (the primary's main thread) publishes tables, pauses and resumes. Any number of
// claimants, in any process or thread, claim tickets and count their transactions.
//
// Invariants.
//  1. Table g lives in tables[g & 1] and is written only while the word's generation is g - 1. So it may be
//     rewritten for g + 2 only after the word has moved to g + 1.
//  2. A claim's compare-and-swap succeeds only from a word of generation g that is not paused. By 1 the table
//     that the claimant copied before it is then whole: its loads come before its own swap, and the
//     publisher's next swap reads from that one (both acquire and release), so no later store can have been
//     seen.
//  3. A claim is a multiple of the table's count and starts at ticket % count. A failed swap changes nothing.
//     Hence consecutive claims of one generation tile the rotation, without a drift where the ticket wraps:
//     it is reduced modulo the count, which keeps the phase.
//  4. Nothing that another process can write is used as an index or a length before it was bounded, and every
//     loop ends by itself.
#pragma once

#include <algorithm>

#include "layout.hpp"

namespace ballermann {

inline constexpr uint64_t kPaused = 1;
inline constexpr uint32_t kMaxAttempts = 4096;  // of one swap; reached only when somebody spoils the word

inline uint32_t key_of(uint64_t word) { return static_cast<uint32_t>(word); }  // generation and paused flag
inline uint32_t ticket_of(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
inline uint64_t word_of(uint32_t ticket, uint32_t key) { return uint64_t{ticket} << 32 | key; }
inline bool is_paused(uint64_t word) { return (word & kPaused) != 0; }
inline uint32_t table_of(uint32_t key) { return key >> 1 & 1; }
inline uint32_t next_generation(uint32_t key) { return key + 2; }  // keeps the paused flag; wraps in 31 bits

// A claimant's private copy of the table of one generation. JS reads it as an Int32Array.
struct Rotation {
  uint32_t key;    // generation that pids and slots were copied from
  uint32_t count;  // replicas in the rotation
  uint32_t first;  // index where the last claim starts
  uint32_t left;   // tickets of the last claim
  uint32_t pids[kMaxReplicas];
  uint32_t slots[kMaxReplicas];
};
inline constexpr uint32_t kNoKey = 1;  // a paused key never names a copied table

enum class Claimed : uint32_t { kTickets, kPaused, kEmpty, kContended };

inline void copy_table(const Table& table, Rotation& own) {
  own.count = std::min(table.count.load(std::memory_order_relaxed), kMaxReplicas);
  for (uint32_t i = 0; i < own.count; ++i) {
    const uint64_t entry = table.entries[i].load(std::memory_order_relaxed);
    own.pids[i] = static_cast<uint32_t>(entry);
    own.slots[i] = std::min(static_cast<uint32_t>(entry >> 32), kSlotCount - 1);
  }
}

// Claims as many whole rotations as fit into `wanted` tickets, one at least.
inline Claimed claim(Ring& ring, uint32_t wanted, Rotation& own) {
  uint64_t word = ring.word.load(std::memory_order_acquire);
  for (uint32_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    if (is_paused(word)) return Claimed::kPaused;
    if (own.key != key_of(word)) {
      copy_table(ring.tables[table_of(key_of(word))], own);
      own.key = key_of(word);  // not yet proven: only a swap from this very key makes use of it
    }
    if (own.count == 0) {
      // Proven as a claim is, by a swap that changes nothing: a mere load may see an old word.
      if (ring.word.compare_exchange_weak(word, word, std::memory_order_acq_rel, std::memory_order_acquire))
        return Claimed::kEmpty;
      continue;
    }
    const uint32_t tickets = std::max(wanted / own.count, 1u) * own.count;
    const uint64_t end = uint64_t{ticket_of(word)} + tickets;
    const uint32_t ticket = static_cast<uint32_t>(end > UINT32_MAX ? end % own.count : end);
    if (ring.word.compare_exchange_weak(word, word_of(ticket, own.key), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
      if (ticket != end) ring.wrapped.fetch_add(end - ticket, std::memory_order_release);
      own.first = ticket_of(word) % own.count;
      own.left = tickets;
      return Claimed::kTickets;
    }
  }
  return Claimed::kContended;
}

// Scatters generations over tickets: a hash whose every output bit depends on every input bit.
inline uint32_t scattered(uint32_t key) {
  key = (key ^ key >> 16) * 0x85ebca6b;
  key = (key ^ key >> 13) * 0xc2b2ae35;
  return key ^ key >> 16;
}

// The tickets between two generations: where one has ended, and where the next begins.
struct Published {
  uint32_t last;
  uint32_t first;
};

// Publisher only. Makes entries[0..count) the next generation; a paused ring stays paused. Each generation
// starts at a scattered ticket: what claimants leave unspent at a change then favours no slot, whatever the
// sizes of the tables that follow each other. (Moving on by one would, where sizes alternate.)
inline Published publish(Ring& ring, const uint64_t* entries, uint32_t count) {
  uint64_t word = ring.word.load(std::memory_order_acquire);
  const uint32_t key = next_generation(key_of(word));
  Table& table = ring.tables[table_of(key)];
  for (uint32_t i = 0; i < count; ++i) table.entries[i].store(entries[i], std::memory_order_relaxed);
  table.count.store(count, std::memory_order_relaxed);
  for (uint32_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    if (ring.word.compare_exchange_weak(word, word_of(scattered(key), key), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
      return {ticket_of(word), scattered(key)};
    }
  }
  word =
      ring.word.exchange(word_of(0, key), std::memory_order_seq_cst);  // no store: invariant 2 needs a swap
  return {ticket_of(word), 0};
}

// Publisher only.
inline void pause(Ring& ring) { ring.word.fetch_or(kPaused, std::memory_order_seq_cst); }
inline void resume(Ring& ring) { ring.word.fetch_and(~kPaused, std::memory_order_seq_cst); }

// Counts a transaction, then looks at the paused flag; undoes the count where it is set. The publisher sets
// the flag, then reads the counts. All four are sequentially consistent, so at least one side sees the other.
inline bool enter(Ring& ring, std::atomic<uint32_t>& running) {
  running.fetch_add(1, std::memory_order_seq_cst);
  if (!is_paused(ring.word.load(std::memory_order_seq_cst))) return true;
  running.fetch_sub(1, std::memory_order_seq_cst);
  return false;
}

inline void leave(std::atomic<uint32_t>& running) { running.fetch_sub(1, std::memory_order_seq_cst); }

// Transactions running in `pool`, in all processes. May count one that is about to undo itself.
inline uint64_t running_in(const Segment& segment, uint32_t pool) {
  uint64_t sum = 0;
  for (const Slot& slot : segment.slots) sum += slot.running[pool].load(std::memory_order_seq_cst);
  return sum;
}

// The pool directory: a ring's name may be read only between two reads of the same odd epoch.

struct Name {
  uint64_t length;
  uint64_t words[kNameBytes / 8];
};

// Publisher only. Takes a free ring for `name`, with an empty table and not paused; kPoolCount if all are
// taken.
inline uint32_t open_ring(Segment& segment, const Name& name, uint32_t max_queue, bool least_queue = false) {
  for (uint32_t index = 0; index < kPoolCount; ++index) {
    Ring& ring = segment.rings[index];
    const uint32_t epoch = ring.epoch.load(std::memory_order_relaxed);
    if (epoch & 1) continue;
    std::atomic_thread_fence(std::memory_order_release);
    ring.name_length.store(name.length, std::memory_order_relaxed);
    for (uint32_t i = 0; i < kNameBytes / 8; ++i)
      ring.name[i].store(name.words[i], std::memory_order_relaxed);
    ring.max_queue.store(max_queue, std::memory_order_relaxed);
    ring.least_queue.store(least_queue ? 1 : 0, std::memory_order_relaxed);
    ring.callers.store(0, std::memory_order_relaxed);
    publish(ring, nullptr, 0);
    resume(ring);
    ring.epoch.store(epoch + 1, std::memory_order_release);
    return index;
  }
  return kPoolCount;
}

// Publisher only. Whoever still holds the ring finds it empty and its epoch changed.
inline void close_ring(Ring& ring) {
  ring.epoch.fetch_add(1, std::memory_order_acq_rel);
  publish(ring, nullptr, 0);
  resume(ring);
}

// The ring that `name` owns now; kPoolCount if none does.
inline uint32_t find_ring(const Segment& segment, const Name& name) {
  for (uint32_t index = 0; index < kPoolCount; ++index) {
    const Ring& ring = segment.rings[index];
    const uint32_t epoch = ring.epoch.load(std::memory_order_acquire);
    if (!(epoch & 1)) continue;
    bool same = ring.name_length.load(std::memory_order_relaxed) == name.length;
    for (uint32_t i = 0; same && i < kNameBytes / 8; ++i) {
      same = ring.name[i].load(std::memory_order_relaxed) == name.words[i];
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (same && ring.epoch.load(std::memory_order_relaxed) == epoch) return index;
  }
  return kPoolCount;
}

}  // namespace ballermann
