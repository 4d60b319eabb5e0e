// Tells everybody who maps the segment, without a message or a timer, whether this event loop turns: a
// replica that is in poll waits for work, and one that is not has been busy since the time that its slot
// says.
#pragma once

#include <napi.h>

#include "layout.hpp"

namespace ballermann {

// A turn of the loop, monotonic, in ns; 0: there was none.
struct Turn {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// The last in which this process counted as blocked.
Turn last_blocked_turn();

// From now on until the environment ends, its loop writes `loop_clock` and `loop_idle` of `slot`.
void start_loop_clock(Napi::Env env, Slot& slot);

}  // namespace ballermann
