// The ring under real concurrency, without Node: takers in threads or in forked processes over one mapping,
// and a publisher that changes generations all the time. Every ticket is accounted for.
//
//   stress threads|processes <takers> <tickets each> <generations>
//   stress spoiled <seconds>
//
// Built with and without sanitizers. Prints one line of figures; exits with 1 where anything was wrong.
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../../native/ring.hpp"

namespace ballermann {
namespace {

constexpr uint32_t kTakers = 8;             // at most
constexpr uint32_t kGenerations = 4096;     // at most
constexpr uint32_t kMembers = 5;            // of the largest generation
constexpr uint32_t kWanted = 4;             // tickets asked for: small, so that swaps collide
constexpr uint32_t kBelowWrap = 997;        // tickets left below 2^32 where a generation starts
constexpr uint32_t kFirstKey = 0xfffff000;  // generation 2^31 - 2048: the run crosses its wrap

uint32_t key_of_generation(uint32_t generation) { return kFirstKey + 2 * generation; }
uint32_t members_of(uint32_t generation) { return 2 + generation % (kMembers - 1); }
uint64_t entry_of(uint32_t generation, uint32_t index) {
  return uint64_t{1 + (generation * 7 + index) % kMaxReplicas} << 32 | (generation * 8 + index + 1);
}
// An exact generation begins and ends in a pause: so its first ticket can be chosen, and its last one is
// known.
bool is_exact(uint32_t generation) { return generation % 8 == 0; }
bool begins_paused(uint32_t generation) { return is_exact(generation) || is_exact(generation - 1); }
uint32_t start_of(uint32_t generation) {
  if (is_exact(generation)) return UINT32_MAX - kBelowWrap - generation % 16;
  return scattered(key_of_generation(generation) | (begins_paused(generation) ? kPaused : 0));
}

struct Taken {
  uint64_t handed[kGenerations][kMembers];  // by generation and by place in its table
  uint64_t claims;
  uint64_t refused;
  uint64_t wrong;  // claims of a table that is not their generation's, or that start at another place
};

struct Shared {
  Segment segment;
  std::atomic<uint64_t> progress[kTakers];  // tickets spent
  std::atomic<uint32_t> begun;              // the newest generation that may have been published
  std::atomic<uint32_t> ended;              // takers that are through
  std::atomic<uint64_t> allowed;            // tickets that each taker may spend by now: a share a generation
  Taken taken[kTakers];
};

Shared* map_shared() {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    std::exit(2);
  }
  return static_cast<Shared*>(memory);
}

void take(Shared& shared, uint32_t taker, uint64_t tickets) {
  Ring& ring = shared.segment.rings[0];
  Taken& taken = shared.taken[taker];
  Rotation own{};
  own.key = kNoKey;
  for (uint64_t spent = 0; spent < tickets;) {
    if (spent >= shared.allowed.load(std::memory_order_relaxed)) {
      sched_yield();
      continue;
    }
    if (claim(ring, kWanted, own) != Claimed::kTickets) {
      taken.refused++;
      sched_yield();
      continue;
    }
    taken.claims++;
    const uint32_t generation = (own.key - kFirstKey) / 2;
    bool right = generation <= shared.begun.load(std::memory_order_acquire) &&
                 own.count == members_of(generation) && own.left % own.count == 0 && own.left > 0 &&
                 own.first == start_of(generation) % own.count;
    for (uint32_t i = 0; right && i < own.count; ++i)
      right = entry_of(generation, i) == (uint64_t{own.slots[i]} << 32 | own.pids[i]);
    if (!right) {
      std::fprintf(stderr, "taker %u: generation %u of %u, count %u, first %u, left %u\n", taker, generation,
                   shared.begun.load(), own.count, own.first, own.left);
      taken.wrong++;
      shared.ended++;
      return;
    }
    for (uint32_t i = 0; i < own.left; ++i) taken.handed[generation][(own.first + i) % own.count]++;
    spent += own.left;
    shared.progress[taker].store(spent, std::memory_order_relaxed);
  }
  shared.ended++;
}

// Where the ticket stands after `tickets` were claimed from `start` on, `block` at a time.
uint32_t ticket_after(uint64_t start, uint64_t tickets, uint32_t block, uint32_t count) {
  if (start + tickets <= UINT32_MAX) return static_cast<uint32_t>(start + tickets);
  const uint64_t below = ((UINT32_MAX - start) / block + 1) * block;  // the claims up to the one that wraps
  return static_cast<uint32_t>((start + below) % count + (tickets - below));
}

void publish_generation(Shared& shared, uint32_t generation) {
  uint64_t entries[kMembers];
  for (uint32_t i = 0; i < members_of(generation); ++i) entries[i] = entry_of(generation, i);
  shared.begun.store(generation, std::memory_order_release);
  publish(shared.segment.rings[0], entries, members_of(generation));
}

void start_at(Ring& ring, uint32_t generation) {  // only while nobody can claim
  const uint32_t key = key_of(ring.word.load(std::memory_order_relaxed));
  ring.word.store(word_of(start_of(generation), key), std::memory_order_seq_cst);
}

int run(const std::string& how, uint32_t takers, uint64_t tickets, uint32_t generations) {
  Shared& shared = *map_shared();
  Ring& ring = shared.segment.rings[0];
  ring.word.store(word_of(0, kFirstKey - 2), std::memory_order_relaxed);
  publish_generation(shared, 0);
  start_at(ring, 0);

  std::vector<std::thread> threads;
  std::vector<pid_t> processes;
  for (uint32_t taker = 0; taker < takers; ++taker) {
    if (how == "threads") {
      threads.emplace_back([&shared, taker, tickets] { take(shared, taker, tickets); });
      continue;
    }
    const pid_t child = fork();
    if (child == 0) {
      take(shared, taker, tickets);
      _exit(0);
    }
    processes.push_back(child);
  }

  std::vector<uint32_t> last_ticket(generations, 0);
  std::vector<bool> is_known(generations, false);
  uint32_t generation = 0;
  const uint64_t all = tickets * takers;
  auto done = [&] {
    uint64_t sum = 0;
    for (uint32_t taker = 0; taker < takers; ++taker)
      sum += shared.progress[taker].load(std::memory_order_relaxed);
    return sum;
  };
  while (generation + 1 < generations && shared.ended.load() == 0) {
    const uint64_t share = tickets * (generation + 1) / generations;
    shared.allowed.store(share, std::memory_order_relaxed);
    if (done() < share * takers - all / generations / 4) {  // the last quarter runs into the change
      sched_yield();
      continue;
    }
    const bool paused = begins_paused(generation + 1);
    if (paused) {
      pause(ring);
      last_ticket[generation] = ticket_of(ring.word.load(std::memory_order_seq_cst));
      is_known[generation] = true;
    }
    generation++;
    publish_generation(shared, generation);
    if (paused) {
      if (is_exact(generation)) start_at(ring, generation);
      resume(ring);
    }
  }
  shared.allowed.store(tickets, std::memory_order_relaxed);
  for (auto& thread : threads) thread.join();
  uint64_t failures = 0;
  for (const pid_t process : processes) {
    int status = 0;
    waitpid(process, &status, 0);
    failures += status != 0;
  }
  last_ticket[generation] = ticket_of(ring.word.load(std::memory_order_seq_cst));
  is_known[generation] = true;

  uint64_t handed = 0, claims = 0, refused = 0, wrong = 0, lost_or_doubled = 0, uneven = 0, exact = 0,
           wraps = 0;
  for (uint32_t taker = 0; taker < takers; ++taker) {
    claims += shared.taken[taker].claims;
    refused += shared.taken[taker].refused;
    wrong += shared.taken[taker].wrong;
  }
  for (uint32_t g = 0; g <= generation; ++g) {
    const uint32_t count = members_of(g);
    uint64_t by_slot[kMembers] = {};
    uint64_t sum = 0;
    for (uint32_t taker = 0; taker < takers; ++taker)
      for (uint32_t i = 0; i < kMembers; ++i) {
        by_slot[i] += shared.taken[taker].handed[g][i];
        sum += shared.taken[taker].handed[g][i];
      }
    for (uint32_t i = 0; i < count; ++i) uneven += by_slot[i] != sum / count;
    handed += sum;
    if (!is_known[g]) continue;
    exact++;
    const uint32_t block = std::max(kWanted / count, 1u) * count;
    wraps += start_of(g) + sum > UINT32_MAX;
    lost_or_doubled += ticket_after(start_of(g), sum, block, count) != last_ticket[g];
  }
  std::printf(
      "%u takers in %s, %llu tickets, %llu claims, %u generations across 2^31, %llu of them to the ticket "
      "(%llu across "
      "2^32), lost or doubled in %llu, uneven slots %llu, wrong claims %llu\n",
      takers, how.c_str(), static_cast<unsigned long long>(handed), static_cast<unsigned long long>(claims),
      generation + 1, static_cast<unsigned long long>(exact), static_cast<unsigned long long>(wraps),
      static_cast<unsigned long long>(lost_or_doubled), static_cast<unsigned long long>(uneven),
      static_cast<unsigned long long>(wrong));
  const bool ok = failures == 0 && wrong == 0 && lost_or_doubled == 0 && uneven == 0 && handed >= all &&
                  generation + 1 == generations && wraps > exact / 4;
  return ok ? 0 : 1;
}

// Somebody writes anything anywhere into a ring while others use it: nothing leaves its bounds, every loop
// ends.
int run_spoiled(int seconds) {
  Shared& shared = *map_shared();
  Segment& segment = shared.segment;
  Ring& ring = segment.rings[0];
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> uses{0}, wrong{0}, writes{0}, tickets{0};
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    uint64_t random = 88172645463325252;
    auto next = [&] {
      random ^= random << 13;
      random ^= random >> 7;
      return random ^= random << 17;
    };
    uint64_t written = 0;
    for (; !stop.load(std::memory_order_relaxed); ++written) {
      const uint64_t value = next();
      switch (value % 8) {
        case 0:
          ring.word.store(next(), std::memory_order_relaxed);
          break;
        case 1:
          ring.word.store(next() & ~uint64_t{1}, std::memory_order_relaxed);
          break;
        case 2:
          ring.tables[value >> 8 & 1].count.store(static_cast<uint32_t>(next()), std::memory_order_relaxed);
          break;
        case 3:
          ring.tables[value >> 8 & 1].count.store(static_cast<uint32_t>(next() % 2000),
                                                  std::memory_order_relaxed);
          break;
        case 4:
          ring.tables[value >> 8 & 1].entries[next() % kMaxReplicas].store(next(), std::memory_order_relaxed);
          break;
        case 5:
          ring.epoch.store(static_cast<uint32_t>(next()), std::memory_order_relaxed);
          break;
        case 6:
          ring.name_length.store(next(), std::memory_order_relaxed);
          break;
        default:
          for (int i = 0; i < 64; ++i) sched_yield();
      }
    }
    writes += written;
  });
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      auto own = std::make_unique<Rotation>();  // of its exact size on the heap: ASan sees what leaves it
      own->key = kNoKey;
      uint64_t used = 0;
      for (uint32_t wanted = 0; !stop.load(std::memory_order_relaxed); wanted = wanted * 5 + 1, ++used) {
        if (claim(ring, wanted, *own) == Claimed::kTickets) {
          tickets++;
          bool right = own->count > 0 && own->count <= kMaxReplicas && own->first < own->count &&
                       own->left % own->count == 0 && own->left > 0;
          for (uint32_t i = 0; i < own->count; ++i) right &= own->slots[i] < kSlotCount;
          if (!right) wrong++;
        }
        if (used % 64 == 0) running_in(segment, wanted % kPoolCount);
        if (used % 64 == 1 && find_ring(segment, Name{wanted, {wanted}}) > kPoolCount) wrong++;
        if (reader == 0 && used % 64 == 2) publish(ring, nullptr, 0);
      }
      uses += used;
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  stop = true;
  for (auto& thread : threads) thread.join();
  std::printf("%d s: %llu spoiling writes, %llu uses, %llu claims, out of bounds %llu\n", seconds,
              static_cast<unsigned long long>(writes), static_cast<unsigned long long>(uses),
              static_cast<unsigned long long>(tickets), static_cast<unsigned long long>(wrong));
  return wrong == 0 && tickets > 0 ? 0 : 1;
}

}  // namespace
}  // namespace ballermann

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  if (how == "spoiled" && argc == 3) return ballermann::run_spoiled(std::atoi(argv[2]));
  if ((how == "threads" || how == "processes") && argc == 5) {
    const uint32_t takers = std::min<uint32_t>(std::atoi(argv[2]), ballermann::kTakers);
    const uint32_t generations = std::min<uint32_t>(std::atoi(argv[4]), ballermann::kGenerations);
    return ballermann::run(how, takers, std::strtoull(argv[3], nullptr, 10), generations);
  }
  std::fprintf(
      stderr,
      "stress threads|processes <takers> <tickets each> <generations>, or stress spoiled <seconds>\n");
  return 2;
}
