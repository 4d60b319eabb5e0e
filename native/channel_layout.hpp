// Names every word of a channel's memory, once: the file that the primary and one replica share, and nobody
// else maps.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ballermann {

inline constexpr uint32_t kChannelMagic = 0x4e484342;  // "BCHN" in memory
inline constexpr uint32_t kChannelVersion = 1;         // raise it with any change below

// Bytes that a stream holds, a power of two. They are address space until they are written to.
inline constexpr uint64_t kStreamBytes = 4 << 20;

// Where a stream may begin again before it has run round once: small traffic stays in these bytes.
inline constexpr uint64_t kWarmBytes = 16 << 10;

inline constexpr size_t kLineBytes = 128;  // what one core takes from another: two lines at once, on many
inline constexpr size_t kDataOffset = 64 << 10;  // the largest page of a system, so that data begins a page

// A stream's memory is read and written by cells, so that whatever is in it is aligned.
using Cell = uint64_t;
inline constexpr uint64_t kCellBytes = 8;
inline constexpr uint64_t kStreamCells = kStreamBytes / kCellBytes;

// One read: what was checked is what is used, even while the writer changes it.
inline uint64_t read_once(const Cell& cell) { return __atomic_load_n(&cell, __ATOMIC_RELAXED); }
inline const uint8_t* bytes_of(const Cell* cell) { return reinterpret_cast<const uint8_t*>(cell); }
inline uint8_t* bytes_of(Cell* cell) { return reinterpret_cast<uint8_t*>(cell); }

static_assert(std::endian::native == std::endian::little, "a channel's numbers are little endian");
static_assert(std::has_single_bit(kStreamBytes) && kStreamBytes % kDataOffset == 0);
static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<uint32_t>) == 4 && sizeof(std::atomic<uint64_t>) == 8);

// Written once by the primary, checked by the replica that attaches.
struct ChannelHeader {
  uint32_t magic;
  uint32_t version;
  uint64_t stream_bytes;
  uint64_t total_bytes;
};

// What a sleeping side wants to be woken for; 0: it is awake.
inline constexpr uint32_t kForData = 1;  // there is something to read
inline constexpr uint32_t kForRoom = 2;  // there is room to write

// How far both sides are, in bytes since the beginning. Each word has one writer and a line of its own.
struct Stream {
  alignas(kLineBytes) std::atomic<uint64_t> tail;  // of the writer: what lies before it is written
  alignas(kLineBytes) std::atomic<uint64_t> head;  // of the reader: what lies before it is released
};

struct ChannelWords {
  ChannelHeader header;
  // Set by the side that goes to sleep, cleared by whoever wakes it.
  alignas(kLineBytes) std::atomic<uint32_t> primary_sleeps_for;
  alignas(kLineBytes) std::atomic<uint32_t> replica_sleeps_for;
  Stream to_replica;
  Stream to_primary;
};

// All zero at first, but for the header.
struct Channel {
  ChannelWords words;
  uint8_t unused[kDataOffset - sizeof(ChannelWords)];
  Cell to_replica[kStreamCells];
  Cell to_primary[kStreamCells];
};

static_assert(std::is_standard_layout_v<Channel>);
static_assert(sizeof(ChannelWords) == 7 * kLineBytes && offsetof(Channel, to_replica) == kDataOffset);
static_assert(sizeof(Channel) == kDataOffset + 2 * kStreamBytes);

// True for a header that this build can use; a channel is never touched before it passed.
inline bool compatible(const ChannelHeader& header) {
  return header.magic == kChannelMagic && header.version == kChannelVersion &&
         header.stream_bytes == kStreamBytes && header.total_bytes == sizeof(Channel);
}

inline ChannelHeader this_channel() {
  return {kChannelMagic, kChannelVersion, kStreamBytes, sizeof(Channel)};
}

}  // namespace ballermann
