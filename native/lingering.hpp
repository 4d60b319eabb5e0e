// Whether it pays to look for news a while longer before a thread sleeps. Header-only, without Node.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ballermann {

// Each time in vain it is left out twice as often as before, so that it costs nothing where it does not pay.
class Lingering {
 public:
  // Asked where the thread could linger.
  bool pays() {
    if (left_out_ == 0) return true;
    --left_out_;
    return false;
  }

  // What it came to, where it did.
  void ended(bool has_paid) {
    next_ = has_paid ? 0 : std::min(2 * next_ + 1, kMost);
    left_out_ = next_;
  }

 private:
  static constexpr uint32_t kMost = 255;

  uint32_t left_out_ = 0;  // so many more times
  uint32_t next_ = 0;      // what the last one has left out
};

// Tells the processor that this is a loop which waits for another one.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace ballermann
