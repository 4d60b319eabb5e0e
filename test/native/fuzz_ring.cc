// Fuzzes everything that reads what another process can have written: claims, searches, counts and the
// publisher's own operations, on a segment that holds anything. Nothing leaves its bounds, and every loop
// ends.
//
// The rotation lies on the heap in its exact size, so that AddressSanitizer sees a step outside.
#include <memory>

#include "../../native/ring.hpp"
#include "anything.hpp"
#include "bytes.hpp"

namespace ballermann {
namespace {

Name take_name(Bytes& bytes) {
  Name name{};
  if (bytes.take<uint8_t>() % 2 == 0) name.length = bytes.take<uint64_t>();
  bytes.read(name.words, bytes.take<uint8_t>() % (sizeof name.words + 1));
  return name;
}

void check_claim(Ring& ring, uint32_t wanted, Rotation& own) {
  switch (claim(ring, wanted, own)) {
    case Claimed::kTickets:
      must(own.count > 0 && own.count <= kMaxReplicas && own.first < own.count);
      must(own.left >= own.count && own.left % own.count == 0 && own.left <= std::max(wanted, own.count));
      for (uint32_t i = 0; i < own.count; ++i) must(own.slots[i] < kSlotCount);
      must(!is_paused(own.key));
      reached("claims that succeeded");
      return;
    case Claimed::kEmpty:
      must(own.count == 0);
      return;
    case Claimed::kPaused:
      must(is_paused(ring.word.load(std::memory_order_relaxed)));
      return;
    case Claimed::kContended:
      must(false);  // nobody else is here, and a swap fails for no reason only on other CPUs than this one
  }
}

}  // namespace
}  // namespace ballermann

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ballermann;
  Bytes bytes(data, size);
  const uint32_t pool = bytes.take<uint8_t>() % 2 == 0 ? 0 : kPoolCount - 1;
  Ring& ring = segment().rings[pool];
  fill(&ring, sizeof ring, bytes);
  fill(ring.tables, sizeof ring.tables, bytes);
  ring.word.store(bytes.take<uint64_t>(), std::memory_order_relaxed);
  for (Table& table : ring.tables) {
    if (bytes.take<uint8_t>() % 2 == 0) table.count.store(bytes.take<uint32_t>(), std::memory_order_relaxed);
    if (bytes.take<uint8_t>() % 2 == 0) table.count.store(bytes.take<uint8_t>(), std::memory_order_relaxed);
  }
  static uint32_t running[kSlotCount];
  fill(running, sizeof running, bytes);
  for (uint32_t i = 0; i < kSlotCount; ++i)
    segment().slots[i].running[pool].store(running[i], std::memory_order_relaxed);

  const auto own = std::make_unique<Rotation>();
  own->key = kNoKey;
  uint64_t entries[kMaxReplicas] = {};
  for (int step = 0; step < 64 && !bytes.empty(); ++step) {
    switch (bytes.take<uint8_t>() % 12) {
      case 0:
      case 1:
      case 2:
        check_claim(ring, bytes.take<uint32_t>(), *own);
        break;
      case 3:
        check_claim(ring, 1024, *own);
        break;
      case 4:
        must(find_ring(segment(), take_name(bytes)) <= kPoolCount);
        break;
      case 5:
        must(running_in(segment(), pool) <= uint64_t{kSlotCount} * UINT32_MAX);
        break;
      case 6:
        if (enter(ring, segment().slots[bytes.take<uint16_t>() % kSlotCount].running[pool])) {
          must(!is_paused(ring.word.load(std::memory_order_relaxed)));
        }
        break;
      case 7: {
        const uint32_t count = bytes.take<uint16_t>() % (kMaxReplicas + 1);
        fill(entries, sizeof entries, bytes);
        const bool paused = is_paused(ring.word.load(std::memory_order_relaxed));
        publish(ring, entries, count);
        must(is_paused(ring.word.load(std::memory_order_relaxed)) == paused);
        break;
      }
      case 8:
        pause(ring);
        break;
      case 9:
        resume(ring);
        break;
      case 10: {
        const Name name = take_name(bytes);
        const uint32_t opened = open_ring(segment(), name, bytes.take<uint32_t>());
        must(opened <= kPoolCount);
        if (opened < kPoolCount) {
          must(find_ring(segment(), name) <= opened);
          close_ring(segment().rings[opened]);
        }
        break;
      }
      default: {
        // Somebody else writes in between.
        const uint32_t at = bytes.take<uint32_t>() % (sizeof(Ring) / 8);
        reinterpret_cast<std::atomic<uint64_t>*>(&ring)[at].store(bytes.take<uint64_t>(),
                                                                  std::memory_order_relaxed);
      }
    }
  }
  return 0;
}
