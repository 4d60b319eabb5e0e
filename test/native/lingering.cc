// When a thread lingers for news, and when it goes to sleep at once. Says how many checks there were; exits
// with 1 at the first that fails.
#include "lingering.hpp"

#include "examples.hpp"

namespace {

using examples::check;

// How many times it is left out before it is tried again.
int left_out(ballermann::Lingering& lingering) {
  int times = 0;
  while (!lingering.pays()) check(++times < 1'000, "it is tried again");
  return times;
}

void what_pays_goes_on() {
  ballermann::Lingering lingering;
  for (int i = 0; i < 1'000; i++) {
    check(lingering.pays(), "it lingers each time");
    lingering.ended(true);
  }
}

void what_is_in_vain_is_left_out_ever_longer() {
  ballermann::Lingering lingering;
  for (const int expected : {0, 1, 3, 7, 15, 31, 63, 127, 255, 255, 255}) {
    check(left_out(lingering) == expected, "twice as often as before, and one more; 255 times at most");
    lingering.ended(false);
  }
}

void what_pays_again_is_not_left_out_any_more() {
  ballermann::Lingering lingering;
  for (int i = 0; i < 5; i++) {
    left_out(lingering);
    lingering.ended(false);
  }
  left_out(lingering);
  lingering.ended(true);
  check(left_out(lingering) == 0, "it lingers each time again");
  lingering.ended(false);
  check(left_out(lingering) == 1, "it begins anew");
}

constexpr examples::Scenario kScenarios[] = {
    SCENARIO(what_pays_goes_on),
    SCENARIO(what_is_in_vain_is_left_out_ever_longer),
    SCENARIO(what_pays_again_is_not_left_out_any_more),
};

}  // namespace

int main() { examples::run(kScenarios); }
