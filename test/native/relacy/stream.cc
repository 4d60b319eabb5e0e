// What both sides of a channel do with its streams, and what must hold then; as scenarios.cc does it for the
// ring. A stream is 8 cells long here, and a bell is a semaphore: a side that is never rung is a deadlock,
// which Relacy reports, as it does two sides at one cell.
//
//   stream <name> <bound> <random executions>
//
// `small/stream.hpp` is native/stream.hpp with the checker's atomics and cells.
#include <checked.hpp>
//
#include "runner.hpp"
#include "small/stream.hpp"

namespace ballermann {
namespace {

using Bell = rl::semaphore<struct BellTag>;

// What one side does with its messages.
struct Task {
  uint32_t sends;
  uint32_t receives;
};

// How many cells the messages hold: the frames are one cell longer. A stream of 8 cells takes no frame of
// more than 4.
struct Mixed {
  static uint32_t cells_of(uint32_t message) { return message % 3 == 1 ? 0 : 1 + message % 3; }
};
struct Large {
  static uint32_t cells_of(uint32_t) { return 3; }
};
struct Uneven {  // the last of four would fit, were there no pad before it
  static uint32_t cells_of(uint32_t message) {
    constexpr uint32_t kCells[] = {2, 0, 1, 3};
    return kCells[message % 4];
  }
};

uint64_t value_of(uint32_t side, uint32_t message, uint32_t cell) {
  return 1000 * (side + 1) + 10 * message + cell;
}
uint8_t kind_of_message(uint32_t message) { return static_cast<uint8_t>(1 + message); }
bool is_part(uint32_t message) { return message % 2 == 1; }

template <typename Derived, rl::thread_id_t kThreads>
struct World : rl::test_suite<Derived, kThreads> {
  Channel channel;
  Bell bells[2];
  uint32_t sleeps[2] = {};
  uint32_t rings[2] = {};

  void before() {
    checked::late = checked::LateLoads{};
    for (Bell& bell : bells) bell.init(false, 0, 1000, $);
  }

  void after() {
    for (Bell& bell : bells) bell.deinit($);
  }

  void ring(uint32_t side) {
    rings[side]++;
    MUST(rings[side] <= sleeps[side], "rung more than once for a sleep");
    bells[side].signal($);
  }
};

// One side. `Derived` says how it sends, and what else it does.
template <typename World>
struct Player {
  World& world;
  uint32_t side;
  Duplex duplex = side == 0 ? Duplex::of_primary(world.channel) : Duplex::of_replica(world.channel);
  uint32_t sent = 0;
  uint32_t received = 0;

  void play(Task task) {
    while (true) {
      while (sent < task.sends && send(sent)) sent++;
      while (received < task.receives && receive(received)) received++;
      if (sent == task.sends && received == task.receives) return;
      world.sleeps[side]++;
      const Wanted wanted{received < task.receives, sent < task.sends, length(sent)};
      if (!duplex.sleep(wanted)) continue;
      world.bells[side].wait(false, false, $);
      duplex.wake();
    }
  }

  static uint32_t length(uint32_t message) {
    return static_cast<uint32_t>(World::cells_of(message) * kCellBytes);
  }

  bool send(uint32_t message) {
    if (World::kSpares) give_back();
    const uint32_t cells = World::cells_of(message);
    Cell* place = duplex.out.reserve(World::kGrows && cells > 0 ? kCellBytes : length(message));
    MUST(!duplex.out.is_broken(), "a writer that takes the reader's position for impossible");
    if (place == nullptr) return false;
    if (cells > 0) place[0] = value_of(side, message, 0);
    if (World::kGrows && cells > 0) place = duplex.out.grow(length(message));
    if (place == nullptr) return false;
    for (uint32_t cell = 1; cell < cells; ++cell) place[cell] = value_of(side, message, cell);
    if (duplex.out.commit(length(message), kind_of_message(message), is_part(message))) world.ring(1 - side);
    return true;
  }

  bool receive(uint32_t message) {
    Frame frame{};
    const Front front = duplex.in.front(frame);
    MUST(front != Front::kBroken, "a reader that takes what was written for impossible");
    if (front == Front::kNothing) return false;
    MUST(frame.length == length(message) && frame.kind == kind_of_message(message) &&
             frame.more == is_part(message),
         "another frame than was written");
    for (uint32_t cell = 0; cell < World::cells_of(message); ++cell)
      MUST(frame.bytes[cell].load() == value_of(1 - side, message, cell), "another payload than was written");
    if (duplex.in.pop()) world.ring(1 - side);
    return true;
  }

  // The system gives zeros for what was given back.
  void give_back() {
    const Spare spare = duplex.out.spare(2 * kCellBytes);
    Cell* data = side == 0 ? world.channel.to_replica : world.channel.to_primary;
    for (uint64_t cell = 0; cell < spare.bytes / kCellBytes; ++cell)
      data[spare.offset / kCellBytes + cell] = 0;
  }
};

// One side sends, the other receives: several times around the stream.
template <typename Sizes, uint32_t kSends, bool grows = false, bool spares = false>
struct OneWay : World<OneWay<Sizes, kSends, grows, spares>, 2>, Sizes {
  static constexpr bool kGrows = grows;
  static constexpr bool kSpares = spares;

  void thread(unsigned index) {
    const Task tasks[] = {{kSends, 0}, {0, kSends}};
    Player<OneWay>{*this, index}.play(tasks[index]);
  }
};

// Both send and receive, each with one bell for data and for room.
template <typename Sizes, uint32_t kEach>
struct BothWays : World<BothWays<Sizes, kEach>, 2>, Sizes {
  static constexpr bool kGrows = false;
  static constexpr bool kSpares = false;

  void thread(unsigned index) { Player<BothWays>{*this, index}.play({kEach, kEach}); }
};

// Something else wakes the sides as well, at any time.
template <typename Sizes, uint32_t kEach>
struct WokenOtherwise : World<WokenOtherwise<Sizes, kEach>, 3>, Sizes {
  static constexpr bool kGrows = false;
  static constexpr bool kSpares = false;

  void thread(unsigned index) {
    if (index < 2) return Player<WokenOtherwise>{*this, index}.play({kEach, kEach});
    for (Bell& bell : this->bells) bell.signal($);
  }
};

}  // namespace
}  // namespace ballermann

#include "main.hpp"
