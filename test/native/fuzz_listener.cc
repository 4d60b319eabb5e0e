// Fuzzes who may accept the next connection, on a segment that holds anything and that somebody else writes
// to in between. Nothing leaves its bounds, and every loop ends.
#include "../../native/listener.hpp"
#include "anything.hpp"
#include "bytes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ballermann;
  Bytes bytes(data, size);
  const uint32_t self = bytes.take<uint16_t>() % kSlotCount;
  Listener& listener = segment().listeners[bytes.take<uint8_t>() % kListenerCount];
  fill(&listener, sizeof listener, bytes);
  fill(segment().slots, 8 * sizeof(Slot), bytes);  // all of them would take most of the time
  if (bytes.take<uint8_t>() % 2 == 0) listener.slots.store(bytes.take<uint8_t>(), std::memory_order_relaxed);

  Gate gate(segment(), listener, self);
  uint64_t now = bytes.take<uint64_t>() >> 1;
  for (int step = 0; step < 64 && !bytes.empty(); ++step) {
    now += bytes.take<uint32_t>();
    switch (bytes.take<uint8_t>() % 8) {
      case 0:
        gate.join();
        break;
      case 1:
        now += 1'000'000'000;  // away for long
        break;
      case 2:
        gate.accepted(now);
        break;
      case 3:
        gate.leave();
        break;
      case 4:
        gate.nothing_waits();
        break;
      case 5: {
        // Somebody else writes in between.
        Slot& slot = segment().slots[bytes.take<uint16_t>() % kSlotCount];
        slot.pid.store(1, std::memory_order_relaxed);
        slot.state.store(bytes.take<uint8_t>() % 4 == 1 ? 0 : 1, std::memory_order_relaxed);
        slot.windows.store(bytes.take<uint8_t>() % 4 == 1 ? 1 : 0, std::memory_order_relaxed);
        slot.loop_clock.store(bytes.take<uint64_t>(), std::memory_order_relaxed);
        slot.loop_idle.store(bytes.take<uint64_t>(), std::memory_order_relaxed);
        listener.slots.store(bytes.take<uint32_t>(), std::memory_order_relaxed);
        break;
      }
      case 6: {
        // Both serve, and the fellow is behind.
        const uint32_t fellow = bytes.take<uint16_t>() % kSlotCount;
        for (const uint32_t one : {self, fellow}) {
          segment().slots[one].pid.store(one + 2, std::memory_order_relaxed);
          segment().slots[one].state.store(1, std::memory_order_relaxed);
          segment().slots[one].windows.store(0, std::memory_order_relaxed);
          segment().slots[one].loop_clock.store(0, std::memory_order_relaxed);
        }
        listener.slots.store(kSlotCount + bytes.take<uint8_t>() % 3, std::memory_order_relaxed);
        listener.accepted[fellow].store(listener.accepted[self].load() - bytes.take<uint8_t>());
        break;
      }
      default:
        if (gate.look(now) == Verdict::kAhead) {
          reached("looks that left it to another");
          // None whose loop does not turn is waited for for ever. The lead that is allowed shrinks with time,
          // so one may come after another.
          int looks = 0;
          do now += static_cast<uint64_t>(kPatience);
          while (gate.look(now) == Verdict::kAhead && ++looks < 64);
          must(looks < 64);
        }
    }
  }
  return 0;
}
