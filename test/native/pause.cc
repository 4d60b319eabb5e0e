// Pauses by the thousand against takers in two threads and two processes. A take that began after pause() had
// returned and ended before resume() was called must have been refused; counted work must not run in a window
// whose counts were seen at zero.
//
//   pause <pauses> [broken]
//
// `broken` lets the takers pass over the flag, to show that this harness would see it. Prints one line of
// figures; exits with 1 where anything was taken or ran that must not.
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../../native/ring.hpp"

namespace ballermann {
namespace {

constexpr uint32_t kTakers = 4;
constexpr uint32_t kThreads = 2;  // of the takers; the others are processes
constexpr uint32_t kBlock = 1024;
constexpr int kPatience = 2000;  // looks of the pauser at whether a taker has come by

struct alignas(kCacheLine) Taken {
  std::atomic<uint64_t> takes;    // tickets spent
  std::atomic<uint64_t> looks;    // attempts in a window, all refused if all is well
  std::atomic<uint64_t> late;     // takes that lie wholly in a window
  std::atomic<uint64_t> counted;  // counted work done
  std::atomic<uint64_t> barred;   // counted work refused
  std::atomic<uint32_t> working;
};

struct Shared {
  Segment segment;
  alignas(kCacheLine) std::atomic<uint64_t> acknowledged;  // the window that pause() has returned for, else 0
  alignas(kCacheLine) std::atomic<uint64_t> idle_window;   // the same, once the counts were seen at zero
  std::atomic<uint64_t> ran_late;                          // counted work that began in such a window
  std::atomic<bool> stop;
  Taken taken[kTakers];
};

// A caller's block, spent as src/memory/rotation.ts does it.
struct Spender {
  Ring& ring;
  bool broken;
  Rotation own{};
  uint32_t left = 0;

  explicit Spender(Ring& of, bool is_broken) : ring(of), broken(is_broken) { own.key = kNoKey; }

  bool next() {
    const uint32_t now = key_of(ring.word.load(std::memory_order_relaxed));
    if (left == 0 || (now != own.key && !(broken && now == (own.key | kPaused)))) {
      if (claim(ring, kBlock, own) != Claimed::kTickets) return false;
      left = own.left;
    }
    left--;
    return true;
  }
};

void take(Shared& shared, uint32_t index, bool broken) {
  Ring& ring = shared.segment.rings[0];
  Taken& taken = shared.taken[index];
  Spender spender(ring, broken);
  auto& running = shared.segment.slots[index].running[0];
  while (!shared.stop.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 16; ++i) {
      const uint64_t before = shared.acknowledged.load(std::memory_order_acquire);
      const bool took = spender.next();
      std::atomic_thread_fence(std::memory_order_acquire);  // the next look comes after the take's
      const uint64_t after = shared.acknowledged.load(std::memory_order_acquire);
      if (took) taken.takes.fetch_add(1, std::memory_order_relaxed);
      if (before == 0 || before != after) continue;
      taken.looks.fetch_add(1, std::memory_order_relaxed);
      if (took) taken.late.fetch_add(1, std::memory_order_relaxed);
    }
    if (!enter(ring, running)) {
      taken.barred.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    taken.working.store(1, std::memory_order_seq_cst);
    if (shared.idle_window.load(std::memory_order_seq_cst) != 0) shared.ran_late.fetch_add(1);
    taken.working.store(0, std::memory_order_seq_cst);
    taken.counted.fetch_add(1, std::memory_order_relaxed);
    leave(running);
  }
}

uint64_t looks(const Shared& shared) {
  uint64_t sum = 0;
  for (const Taken& taken : shared.taken) sum += taken.looks.load(std::memory_order_relaxed);
  return sum;
}

int run(uint64_t pauses, bool broken) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    return 2;
  }
  Shared& shared = *static_cast<Shared*>(memory);
  Ring& ring = shared.segment.rings[0];
  const uint64_t entries[] = {uint64_t{1} << 32 | 11, uint64_t{2} << 32 | 12, uint64_t{3} << 32 | 13};
  publish(ring, entries, 3);

  std::vector<pid_t> processes;  // first: a forked process has no threads but its own
  std::vector<std::thread> threads;
  for (uint32_t index = kThreads; index < kTakers; ++index) {
    const pid_t child = fork();
    if (child == 0) {
      take(shared, index, broken);
      _exit(0);
    }
    processes.push_back(child);
  }
  for (uint32_t index = 0; index < kThreads; ++index)
    threads.emplace_back([&shared, index, broken] { take(shared, index, broken); });

  uint64_t looked_at = 0, idle = 0, worked = 0;
  for (uint64_t window = 1; window <= pauses; ++window) {
    const uint64_t before = looks(shared);
    pause(ring);
    shared.acknowledged.store(window, std::memory_order_seq_cst);
    if (window % 16 == 0) publish(ring, entries, 3);  // a refresh does not end a pause
    bool is_idle = false;
    bool is_looked_at = false;
    for (int i = 0; i < kPatience && !(is_idle && is_looked_at); ++i) {
      if (!is_idle && running_in(shared.segment, 0) == 0) {
        is_idle = true;
        shared.idle_window.store(window, std::memory_order_seq_cst);
        for (const Taken& taken : shared.taken) worked += taken.working.load(std::memory_order_seq_cst);
      }
      is_looked_at = looks(shared) != before;
      if (i % 64 == 63) sched_yield();  // else all takers may be waiting for this core
    }
    looked_at += is_looked_at;
    idle += is_idle;
    shared.idle_window.store(0, std::memory_order_seq_cst);
    shared.acknowledged.store(0, std::memory_order_seq_cst);
    resume(ring);
  }
  shared.stop = true;
  for (auto& thread : threads) thread.join();
  for (const pid_t process : processes) waitpid(process, nullptr, 0);

  uint64_t takes = 0, late = 0, counted = 0, barred = 0;
  for (const Taken& taken : shared.taken) {
    takes += taken.takes;
    late += taken.late;
    counted += taken.counted;
    barred += taken.barred;
  }
  std::printf(
      "%llu pauses (%llu with a taker in the window, %llu seen idle), %llu attempts in windows, taken in a "
      "window: %llu; "
      "%llu takes, %llu counted, %llu barred, counted work in an idle window: %llu\n",
      static_cast<unsigned long long>(pauses), static_cast<unsigned long long>(looked_at),
      static_cast<unsigned long long>(idle), static_cast<unsigned long long>(looks(shared)),
      static_cast<unsigned long long>(late), static_cast<unsigned long long>(takes),
      static_cast<unsigned long long>(counted), static_cast<unsigned long long>(barred),
      static_cast<unsigned long long>(worked + shared.ran_late));
  // Windows that nobody tried to get into prove nothing: most must have been looked at.
  const bool tested = looked_at * 2 > pauses && idle * 2 > pauses && takes > 0 && counted > 0;
  return tested && late == 0 && worked + shared.ran_late == 0 && running_in(shared.segment, 0) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ballermann

int main(int argc, char** argv) {
  const bool broken = argc == 3 && std::strcmp(argv[2], "broken") == 0;
  if (argc == 2 || broken) return ballermann::run(std::strtoull(argv[1], nullptr, 10), broken);
  std::fprintf(stderr, "pause <pauses> [broken]\n");
  return 2;
}
