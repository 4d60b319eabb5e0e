// Runs the scenario that the command line names, and says how that went: see scenarios.cc.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <span>
#include <streambuf>
#include <string>

#include "checked.hpp"

// What has to hold in a scenario.
#define MUST(condition, what) \
  RL_ASSERT_IMPL(checked::late.impossible || (condition), rl::test_result_user_assert_failed, what, $)

namespace checked {

struct Runner {
  const char* name;
  bool (*run)(rl::test_params&);
};

// Where Relacy writes its report. Of fixed size: Relacy counts every allocation as the scenario's.
class Report : public std::streambuf {
 public:
  Report() { clear(); }
  void clear() { setp(text_, text_ + sizeof text_ - 1); }
  const char* text() {
    *pptr() = '\0';
    return text_;
  }
  // The check that failed: Relacy says it in the second line, after the name of the scenario.
  std::string reason() {
    const char* begin = std::strchr(text(), '\n');
    if (begin == nullptr) return text();
    const char* end = std::strchr(++begin, '\n');
    return end == nullptr ? std::string(begin) : std::string(begin, end);
  }

 private:
  char text_[1 << 20];
};

inline bool run(const Runner& runner, rl::scheduler_type_e search, unsigned bound, uint64_t random) {
  static Report buffer;
  buffer.clear();
  std::ostream report(&buffer);
  std::ostream silence(nullptr);
  rl::test_params params;
  params.search_type = search;
  params.context_bound = bound;
  params.iteration_count = random;
  params.output_stream = &report;
  params.progress_stream = &silence;
  const bool ok = runner.run(params);
  const std::string how = search == rl::sched_random ? "random" : "bound " + std::to_string(bound);
  if (ok) {
    std::printf("ok %s %s %llu\n", runner.name, how.c_str(),
                static_cast<unsigned long long>(params.stop_iteration));
  } else {
    std::printf("caught %s %s %llu: %s\n", runner.name, how.c_str(),
                static_cast<unsigned long long>(params.stop_iteration), buffer.reason().c_str());
    if (std::getenv("VERIFY_HISTORY") != nullptr) std::fputs(buffer.text(), stderr);
  }
  std::fflush(stdout);
  return ok;
}

inline int run_scenario(std::span<const Runner> runners, int argc, char** argv) {
  if (argc != 4) return 2;
  for (const Runner& runner : runners) {
    if (std::strcmp(runner.name, argv[1]) != 0) continue;
    const unsigned bound = static_cast<unsigned>(std::atoi(argv[2]));
    const uint64_t random = std::strtoull(argv[3], nullptr, 10);
    // Random first: it finds most of what there is to find at once.
    if (random > 0 && !run(runner, rl::sched_random, 0, random)) return 1;
    return bound > 0 && !run(runner, rl::sched_bound, bound, 0) ? 1 : 0;
  }
  std::printf("no such scenario: %s\n", argv[1]);
  return 2;
}

}  // namespace checked
