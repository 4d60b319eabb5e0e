// What the checks by examples share: scenarios that run one after another, and end at the first thing that
// does not hold.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace examples {

struct Scenario {
  const char* name;
  void (*run)();
};

#define SCENARIO(name) \
  { #name, name }

inline const char* scenario = "";
inline uint64_t checks = 0;

inline void check(bool holds, const char* what) {
  checks++;
  if (holds) return;
  std::printf("%s: %s\n", scenario, what);
  std::exit(1);
}

// The same, where it helps to know what came instead.
inline void check(bool holds, const char* what, int64_t got) {
  checks++;
  if (holds) return;
  std::printf("%s: %s; got %lld\n", scenario, what, static_cast<long long>(got));
  std::exit(1);
}

inline void run(std::span<const Scenario> scenarios) {
  for (const Scenario& one : scenarios) {
    scenario = one.name;
    one.run();
  }
  std::printf("%zu scenarios, %llu checks\n", scenarios.size(), static_cast<unsigned long long>(checks));
}

}  // namespace examples
