// Names every word of the shared segment, once. TypeScript gets these numbers from the addon (addon.cc
// exports them); nothing else in the project states an offset.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ballermann {

inline constexpr uint32_t kMagic = 0x4c4c4142;  // "BALL" in memory
inline constexpr uint32_t kLayoutVersion = 5;   // raise it with any change below
inline constexpr uint32_t kMaxReplicas = 1024;
inline constexpr uint32_t kSlotCount = kMaxReplicas + 1;  // slot 0 belongs to the primary
inline constexpr uint32_t kPoolCount = 64;
inline constexpr uint32_t kListenerCount = 64;
inline constexpr uint32_t kNameBytes = 120;  // UTF-8 bytes of a pool's name
inline constexpr size_t kCacheLine = 64;

static_assert(std::endian::native == std::endian::little,
              "JS reads the low half of a ring word at its own address");
static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<uint32_t>) == 4 && sizeof(std::atomic<uint64_t>) == 8);

// Written once by the primary, checked by everyone who attaches.
struct alignas(kCacheLine) Header {
  uint32_t magic;
  uint32_t version;
  uint32_t header_bytes;
  uint32_t slot_count;
  uint32_t slot_bytes;
  uint32_t ring_count;
  uint32_t ring_bytes;
  uint32_t name_bytes;
  uint32_t listener_count;
  uint32_t listener_bytes;
  uint64_t total_bytes;
};

// What a replica is there for, as its primary sees it.
enum class SlotState : uint32_t {
  away,     // starting, leaving or gone: gets nothing new
  serving,  // up
  blocked,  // up, but its event loop did not turn when the primary last looked: nothing new is sent to it
};

// One process of the cluster. Each cache line has one writer, so nobody's counting slows a neighbour.
struct alignas(kCacheLine) Slot {
  // Written by the primary.
  std::atomic<uint32_t> pid;          // 0: nobody
  std::atomic<uint32_t> incarnation;  // how often this slot has been given to a new process
  std::atomic<uint32_t> unfinished;   // messages sent to the replica and not finished by it
  std::atomic<uint32_t> state;        // a SlotState
  std::atomic<uint32_t> windows;  // open windows over its supervisor: while there is one, no request begins
  std::atomic<uint32_t> blocked_after;  // ms of a busy event loop from which on the replica counts as blocked
  std::atomic<uint32_t> max_queue;      // unfinished messages at which it gets no connection; 0: no limit

  // Written by the replica.
  alignas(kCacheLine) std::atomic<uint32_t> taken;  // messages taken out of the mailbox, modulo 2^32
  std::atomic<uint32_t> requests;                   // requests of its servers that are running
  std::atomic<uint32_t> begun;                      // requests of its servers that it has begun, modulo 2^32
  std::atomic<uint32_t> rss;                        // KiB of memory, as it last looked
  std::atomic<uint64_t> loop_clock;  // of the event loop: 0 in poll, else busy since (monotonic ns)
  std::atomic<uint64_t> loop_idle;   // ns spent in poll; while it polls, that less the time when it began to
  std::atomic<uint32_t> accepted;    // connections that have come to its servers, modulo 2^32

  // Written by the process that holds the slot: the transactions it has running, by pool.
  alignas(kCacheLine) std::atomic<uint32_t> running[kPoolCount];
};

// From when on a busy replica counts as blocked where its slot does not say, in ms.
inline constexpr uint32_t kBlockedAfter = 250;

// The same of this one, in ns.
inline uint64_t blocked_after(const Slot& slot) {
  const uint32_t ms = slot.blocked_after.load(std::memory_order_relaxed);
  return uint64_t{ms == 0 ? kBlockedAfter : ms} * 1'000'000;
}

// One generation of a rotation. An entry is (slot << 32 | pid).
struct alignas(kCacheLine) Table {
  std::atomic<uint32_t> count;
  alignas(8) std::atomic<uint64_t> entries[kMaxReplicas];
};

// One pool. `word` is (ticket << 32 | generation << 1 | paused): a claimant's single compare-and-swap takes
// tickets and proves, in the same instant, that the table it read is current and the pool is not paused.
struct alignas(kCacheLine) Ring {
  std::atomic<uint64_t> word;
  // What the ticket has lost where it began again, so that who counts hand-outs need not have seen that.
  // Written by the claimant whose claim has wrapped, after it.
  std::atomic<uint64_t> wrapped;
  alignas(kCacheLine) std::atomic<uint32_t> epoch;  // odd while a pool owns the ring
  std::atomic<uint32_t> callers;                    // how many rotations have joined
  std::atomic<uint32_t> max_queue;                  // unfinished messages at which a replica is passed over
  std::atomic<uint32_t> least_queue;  // 1: the replica with fewer unfinished messages is chosen; 0: the next
  alignas(8) std::atomic<uint64_t> name_length;
  std::atomic<uint64_t> name[kNameBytes / 8];  // UTF-8, zero padded
  Table tables[2];                             // generation g lives in tables[g & 1]
};

// One listening socket that replicas share: how many connections each has accepted. The counts of those that
// came later start where the others are, so they say who is ahead and not how many there were.
struct alignas(kCacheLine) Listener {
  std::atomic<uint32_t> slots;  // no slot from here on listens
  // By slot, written by the replica that has it; 0: does not listen.
  alignas(kCacheLine) std::atomic<uint32_t> accepted[kSlotCount];
};

struct Segment {
  Header header;
  Slot slots[kSlotCount];
  Ring rings[kPoolCount];
  Listener listeners[kListenerCount];
};

static_assert(std::is_standard_layout_v<Segment>);
static_assert(sizeof(Slot) == 384 && offsetof(Slot, taken) == 64 && offsetof(Slot, running) == 128);
static_assert(offsetof(Ring, word) == 0 && sizeof(Ring) % kCacheLine == 0);

// True for a header that this build can use; a segment is never touched before it passed.
inline bool compatible(const Header& header) {
  return header.magic == kMagic && header.version == kLayoutVersion &&
         header.header_bytes == sizeof(Header) && header.slot_count == kSlotCount &&
         header.slot_bytes == sizeof(Slot) && header.ring_count == kPoolCount &&
         header.ring_bytes == sizeof(Ring) && header.name_bytes == kNameBytes &&
         header.listener_count == kListenerCount && header.listener_bytes == sizeof(Listener) &&
         header.total_bytes == sizeof(Segment);
}

inline Header this_layout() {
  return {kMagic,       kLayoutVersion, sizeof(Header), kSlotCount,       sizeof(Slot),   kPoolCount,
          sizeof(Ring), kNameBytes,     kListenerCount, sizeof(Listener), sizeof(Segment)};
}

}  // namespace ballermann
