// Fuzzes both sides of a channel whose memory holds anything and changes meanwhile: the reading side, and the
// writing side that looks at a reader's position. Nothing leaves the channel, every loop ends, and what
// cannot be is reported for good.
//
// scripts/verify/fuzz.js compiles it with short streams, which the fuzzer gets around. The channel lies on
// the heap in its exact size, so that AddressSanitizer sees a step outside.
#include <cstdlib>
#include <new>

#include "bytes.hpp"
#include "small/stream.hpp"

namespace ballermann {
namespace {

Channel& channel() {
  static Channel* const memory = new (std::aligned_alloc(kLineBytes, sizeof(Channel)))
      Channel{};  // NOLINT: lives as long as the process
  return *memory;
}

bool lies_within(const uint8_t* place, uint64_t length, const Cell* data) {
  const auto* begin = reinterpret_cast<const uint8_t*>(data);
  return place >= begin + kCellBytes && place + length <= begin + kStreamBytes;
}

void read_front(Duplex& duplex) {
  const bool was_broken = duplex.in.is_broken();
  Frame frame{};
  switch (duplex.in.front(frame)) {
    case Front::kFrame: {
      must(!was_broken && frame.kind != kPad && frame.length <= kMaxFrameBytes);
      must(lies_within(frame.bytes, frame.length, channel().to_primary));
      uint64_t sum = 0;
      for (uint32_t at = 0; at < frame.length; ++at) sum += frame.bytes[at];
      volatile uint64_t all_read = sum;
      (void)all_read;
      reached("frames received");
      return;
    }
    case Front::kBroken:
      must(duplex.in.is_broken() && duplex.in.has_news());
      return;
    case Front::kNothing:
      must(!was_broken && !duplex.in.is_broken());
      return;
  }
}

// As long as it may be, or shorter: all of it is written to.
void write(Duplex& duplex, Bytes& bytes) {
  const uint32_t length = bytes.take<uint32_t>() % (kMaxFrameBytes + 9);
  const bool had_room = duplex.out.has_room(length);
  uint8_t* place = duplex.out.reserve(length);
  must((place != nullptr) == (had_room && !duplex.out.is_broken()));
  uint32_t longest = length;
  if (place != nullptr && bytes.take<uint8_t>() % 2 == 0) {
    const uint32_t longer = length + bytes.take<uint16_t>();
    if (uint8_t* grown = duplex.out.grow(longer); grown != nullptr) {
      place = grown;
      longest = longer;
    }
  }
  if (place == nullptr) return;
  must(length <= kMaxFrameBytes && lies_within(place, longest, channel().to_replica));
  must(reinterpret_cast<uintptr_t>(place) % kCellBytes == 0);
  std::memset(place, 0xa5, longest);
  if (bytes.take<uint8_t>() % 4 != 0) duplex.out.commit(longest, 1, bytes.take<uint8_t>() % 2 == 0);
}

}  // namespace
}  // namespace ballermann

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ballermann;
  Bytes bytes(data, size);
  ChannelWords& words = channel().words;
  std::memset(static_cast<void*>(&words), 0, sizeof words);
  std::memset(channel().to_primary, bytes.take<uint8_t>(), kStreamBytes);
  Duplex duplex = Duplex::of_primary(channel());
  // What the other side could have written: where its frames begin, mostly.
  uint64_t tail = 0;
  for (int step = 0; step < 256 && !bytes.empty(); ++step) {
    switch (bytes.take<uint8_t>() % 12) {
      case 0:
        words.to_primary.tail.store(bytes.take<uint64_t>(), std::memory_order_relaxed);
        break;
      case 1:
        words.to_replica.head.store(bytes.take<uint64_t>(), std::memory_order_relaxed);
        break;
      case 2:
      case 3: {
        const uint64_t word = bytes.take<uint64_t>();
        channel().to_primary[offset_of(tail) / kCellBytes] = word;
        tail +=
            bytes.take<uint8_t>() % 4 == 0 ? bytes.take<uint16_t>() * kCellBytes : span_of(length_of(word));
        words.to_primary.tail.store(tail, std::memory_order_relaxed);
        break;
      }
      case 4: {
        const auto length = static_cast<uint32_t>(bytes.take<uint16_t>() % 3000);
        channel().to_primary[offset_of(tail) / kCellBytes] = frame_of(length, 1, false);
        tail += span_of(length);
        words.to_primary.tail.store(tail, std::memory_order_relaxed);
        break;
      }
      case 5: {
        const auto pad = static_cast<uint32_t>(to_end_of(tail) - kCellBytes);
        channel().to_primary[offset_of(tail) / kCellBytes] = frame_of(pad, kPad, false);
        tail += to_end_of(tail);
        break;
      }
      case 6:
        read_front(duplex);
        duplex.in.pop();
        break;
      case 7:
        read_front(duplex);
        break;
      case 8:
        write(duplex, bytes);
        break;
      case 9: {
        // A reader that follows.
        const uint64_t written = words.to_replica.tail.load(std::memory_order_relaxed);
        words.to_replica.head.store(written - bytes.take<uint8_t>() * kCellBytes, std::memory_order_relaxed);
        break;
      }
      case 10: {
        const Spare spare = duplex.out.spare(1024);
        must(spare.offset + spare.bytes <= kStreamBytes && spare.offset % 1024 == 0);
        std::memset(reinterpret_cast<uint8_t*>(channel().to_replica) + spare.offset, 0, spare.bytes);
        break;
      }
      default:
        words.replica_sleeps_for.store(bytes.take<uint32_t>(), std::memory_order_relaxed);
        duplex.sleep({true, true, bytes.take<uint16_t>()});
        if (bytes.take<uint8_t>() % 2 == 0) duplex.wake();
    }
  }
  // Whatever there is, it has an end.
  uint64_t frames = 0;
  for (Frame frame{}; duplex.in.front(frame) == Front::kFrame; duplex.in.pop())
    must(++frames <= kStreamCells);
  return 0;
}
