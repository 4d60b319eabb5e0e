// Both sides of a channel at full speed, in two threads or two processes, asleep whenever they have nothing
// to do: each frame arrives as it was sent, in order, and nobody waits in vain.
//
//   channel_stress threads|processes <frames each>
//   channel_stress spoiled <seconds>
//
// `spoiled`: somebody writes anything into the channel while both sides use it. Prints one line of figures;
// exits with 1 where something is not as it must be.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "../../native/stream.hpp"

namespace ballermann {
namespace {

constexpr int kPatience = 20'000;  // ms without a ring after which it is taken for lost
constexpr uint64_t kPage = 4096;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435769 + 88172645463325252) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }
  uint64_t below(uint64_t bound) { return next() % bound; }

 private:
  uint64_t state_;
};

// Most are small, some as long as can be. Both sides know the lengths by the same numbers.
uint32_t length_of_next(Random& random) {
  const uint64_t kind = random.below(1000);
  if (kind < 850) return static_cast<uint32_t>(random.below(300));
  if (kind < 995) return static_cast<uint32_t>(random.below(40'000));
  return static_cast<uint32_t>(random.below(kMaxFrameBytes + 1));
}

uint8_t byte_of(uint64_t frame, uint64_t at) { return static_cast<uint8_t>(frame * 31 + at * 7 + (at >> 8)); }

struct Figures {
  uint64_t bytes = 0;
  uint64_t sleeps = 0;
  uint64_t rings = 0;
  uint64_t for_room = 0;  // sleeps with a frame that waits
  uint64_t given_back = 0;
};

struct Shared {
  Channel channel;
  Figures figures[2];
};

void ring(int bell) {
  const uint64_t one = 1;
  if (write(bell, &one, sizeof one) != sizeof one) fail("a bell cannot be rung");
}

void wait_for(int bell) {
  pollfd waited{bell, POLLIN, 0};
  if (poll(&waited, 1, kPatience) != 1) fail("a side sleeps and is not rung");
  uint64_t count = 0;
  if (read(bell, &count, sizeof count) != sizeof count) fail("a bell cannot be read");
}

class Player {
 public:
  Player(Shared& shared, uint32_t side, int own_bell, int other_bell)
      : duplex_(side == 0 ? Duplex::of_primary(shared.channel) : Duplex::of_replica(shared.channel)),
        data_(side == 0 ? shared.channel.to_replica : shared.channel.to_primary),
        figures_(shared.figures[side]),
        own_bell_(own_bell),
        other_bell_(other_bell),
        sizes_(side),
        expected_(1 - side),
        choices_(side + 7) {}

  void play(uint64_t frames) {
    length_ = length_of_next(sizes_);
    while (true) {
      // In rounds of any size, so that both streams are at times empty, at times full.
      const uint64_t most = choices_.below(4) == 0 ? 64 : 3;
      for (uint64_t i = choices_.below(most); i > 0 && sent_ < frames && send(); --i) continue;
      for (uint64_t i = choices_.below(most); i > 0 && received_ < frames && receive(); --i) continue;
      if (sent_ == frames && received_ == frames) return;
      if (choices_.below(8) == 0) give_back();
      figures_.sleeps++;
      figures_.for_room += sent_ < frames;
      if (!duplex_.sleep({received_ < frames, sent_ < frames, length_})) continue;
      wait_for(own_bell_);
      duplex_.wake();
    }
  }

 private:
  bool send() {
    const bool grows = choices_.below(2) == 0;
    const auto first = static_cast<uint32_t>(grows ? choices_.below(uint64_t{length_} + 1) : length_);
    uint8_t* place = duplex_.out.reserve(first);
    if (place != nullptr) {
      write_bytes(place, 0, first);
      if (grows) {
        place = duplex_.out.grow(length_);
        if (place != nullptr) write_bytes(place, first, length_);
      }
    }
    if (duplex_.out.is_broken()) fail("a reader's position was taken for impossible");
    if (place == nullptr) return false;
    if (duplex_.out.commit(length_, static_cast<uint8_t>(1 + sent_ % 255), sent_ % 3 == 0)) {
      figures_.rings++;
      ring(other_bell_);
    }
    figures_.bytes += length_;
    sent_++;
    length_ = length_of_next(sizes_);
    return true;
  }

  void write_bytes(uint8_t* place, uint64_t from, uint64_t to) {
    for (uint64_t at = from; at < to; ++at) place[at] = byte_of(sent_, at);
  }

  bool receive() {
    Frame frame{};
    const Front front = duplex_.in.front(frame);
    if (front == Front::kBroken) fail("what was written was taken for impossible");
    if (front == Front::kNothing) return false;
    if (frame.length != length_of_next(expected_) || frame.kind != 1 + received_ % 255 ||
        frame.more != (received_ % 3 == 0))
      fail("another frame than was sent");
    for (uint64_t at = 0; at < frame.length; ++at)
      if (frame.bytes[at] != byte_of(received_, at)) fail("another byte than was sent");
    received_++;
    if (duplex_.in.pop()) {
      figures_.rings++;
      ring(other_bell_);
    }
    return true;
  }

  void give_back() {
    const Spare spare = duplex_.out.spare(kPage);
    if (spare.bytes == 0) return;
    auto* begin = reinterpret_cast<uint8_t*>(data_) + spare.offset;
    if (madvise(begin, spare.bytes, MADV_REMOVE) != 0) fail("madvise(MADV_REMOVE)");
    figures_.given_back += spare.bytes;
  }

  Duplex duplex_;
  Cell* const data_;
  Figures& figures_;
  const int own_bell_;
  const int other_bell_;
  Random sizes_;
  Random expected_;
  Random choices_;
  uint32_t length_ = 0;  // of the frame that is to be sent next
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
};

Shared& map_shared() {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return *static_cast<Shared*>(memory);
}

int run(const std::string& how, uint64_t frames) {
  Shared& shared = map_shared();
  const int bells[] = {eventfd(0, 0), eventfd(0, 0)};
  const auto play = [&](uint32_t side) { Player{shared, side, bells[side], bells[1 - side]}.play(frames); };
  if (how == "threads") {
    std::thread other([&] { play(1); });
    play(0);
    other.join();
  } else {
    const pid_t child = fork();
    if (child == 0) {
      play(1);
      std::_Exit(0);
    }
    play(0);
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) fail("the other process failed");
  }
  Figures sum;
  for (const Figures& figures : shared.figures) {
    sum.bytes += figures.bytes;
    sum.sleeps += figures.sleeps;
    sum.rings += figures.rings;
    sum.for_room += figures.for_room;
    sum.given_back += figures.given_back;
  }
  std::printf(
      "2 sides in %s, %llu frames each, %llu MiB, all as sent; %llu sleeps (%llu of them for room too), %llu "
      "rings, %llu MiB "
      "given back\n",
      how.c_str(), static_cast<unsigned long long>(frames), static_cast<unsigned long long>(sum.bytes >> 20),
      static_cast<unsigned long long>(sum.sleeps), static_cast<unsigned long long>(sum.for_room),
      static_cast<unsigned long long>(sum.rings), static_cast<unsigned long long>(sum.given_back >> 20));
  // Where nobody ever slept, nothing was tried.
  return sum.rings > 0 && sum.rings <= sum.sleeps && sum.for_room > 0 ? 0 : 1;
}

// What a side does with a channel that anybody writes to: it ends, and all it touches is the channel's. The
// channel lies on the heap in its exact size, so that AddressSanitizer sees a step outside.
struct Used {
  std::atomic<uint64_t> frames{0}, sent{0}, broken{0}, writes{0};
};

void use(Channel& channel, uint32_t side, const std::atomic<bool>& stop, Used& used) {
  Random random(side + 3);
  uint64_t sum = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    Duplex duplex = side == 0 ? Duplex::of_primary(channel) : Duplex::of_replica(channel);
    Stream& in = side == 0 ? channel.words.to_primary : channel.words.to_replica;
    Stream& out = side == 0 ? channel.words.to_replica : channel.words.to_primary;
    in.tail.store(0, std::memory_order_relaxed);
    out.head.store(0, std::memory_order_relaxed);
    for (int step = 0; step < 1000 && !(duplex.in.is_broken() && duplex.out.is_broken()); ++step) {
      Frame frame{};
      if (duplex.in.front(frame) == Front::kFrame) {
        if (frame.length > kMaxFrameBytes) fail("a frame that is too long");
        if (frame.length > 0) sum += frame.bytes[0] + frame.bytes[frame.length - 1];
        duplex.in.pop();
        used.frames++;
      }
      const uint32_t length = length_of_next(random);
      uint8_t* place = duplex.out.reserve(length / 2);
      if (place != nullptr) place = duplex.out.grow(length);
      if (place != nullptr && length > 0) place[0] = place[length - 1] = static_cast<uint8_t>(sum);
      if (place != nullptr) {
        duplex.out.commit(length, 1);
        used.sent++;
      }
      if (step % 16 == 0) duplex.sleep({true, true, length});
      if (step % 16 == 1) duplex.wake();
      const Spare spare = duplex.out.spare(kPage);
      if (spare.offset + spare.bytes > kStreamBytes) fail("more given back than there is");
    }
    used.broken += duplex.in.is_broken() || duplex.out.is_broken();
  }
}

void spoil(Channel& channel, const std::atomic<bool>& stop, Used& used) {
  Random random(1);
  ChannelWords& words = channel.words;
  std::atomic<uint64_t>* const positions[] = {&words.to_replica.tail, &words.to_replica.head,
                                              &words.to_primary.tail, &words.to_primary.head};
  while (!stop.load(std::memory_order_relaxed)) {
    auto& position = *positions[random.below(4)];
    Cell* const data = random.below(2) == 0 ? channel.to_replica : channel.to_primary;
    Cell& cell = data[random.below(random.below(2) == 0 ? 64 : kStreamCells)];
    switch (random.below(8)) {
      case 0:
        position.store(random.next(), std::memory_order_relaxed);
        break;
      case 1:
      case 2:
        position.fetch_add(random.below(64) * kCellBytes, std::memory_order_relaxed);
        break;
      case 3:
        __atomic_store_n(&cell, random.next(), __ATOMIC_RELAXED);
        break;
      case 4:
      case 5:
        __atomic_store_n(
            &cell,
            frame_of(static_cast<uint32_t>(random.below(4096)), static_cast<uint8_t>(random.below(3)), false),
            __ATOMIC_RELAXED);
        break;
      case 6:
        words.primary_sleeps_for.store(static_cast<uint32_t>(random.next()), std::memory_order_relaxed);
        words.replica_sleeps_for.store(static_cast<uint32_t>(random.next()), std::memory_order_relaxed);
        break;
      default:
        std::this_thread::yield();
    }
    used.writes++;
  }
}

int run_spoiled(int seconds) {
  const std::unique_ptr<Channel, void (*)(void*)> channel(
      new (std::aligned_alloc(kLineBytes, sizeof(Channel))) Channel{}, std::free);
  std::atomic<bool> stop{false};
  Used used;
  std::thread threads[] = {std::thread([&] { use(*channel, 0, stop, used); }),
                           std::thread([&] { use(*channel, 1, stop, used); }),
                           std::thread([&] { spoil(*channel, stop, used); })};
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  std::printf("%d s: %llu spoiling writes, %llu frames received, %llu sent, %llu times broken\n", seconds,
              static_cast<unsigned long long>(used.writes), static_cast<unsigned long long>(used.frames),
              static_cast<unsigned long long>(used.sent), static_cast<unsigned long long>(used.broken));
  return used.frames > 0 && used.sent > 0 && used.broken > 0 ? 0 : 1;
}

}  // namespace
}  // namespace ballermann

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  if (how == "spoiled" && argc == 3) return ballermann::run_spoiled(std::atoi(argv[2]));
  if ((how == "threads" || how == "processes") && argc == 3)
    return ballermann::run(how, std::strtoull(argv[2], nullptr, 10));
  std::fprintf(stderr,
               "channel_stress threads|processes <frames each>, or channel_stress spoiled <seconds>\n");
  return 2;
}
