// Takes a fuzzer's input apart. Reads zeros where it has ended.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  bool empty() const { return left_ == 0; }

  template <typename T>
  T take() {
    T value{};
    read(&value, sizeof value);
    return value;
  }

  void read(void* to, size_t size) {
    const size_t there = std::min(size, left_);
    if (there > 0) std::memcpy(to, data_, there);
    data_ += there;
    left_ -= there;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

// Ends the run where something is not as it must be.
inline void must(bool condition) {
  if (!condition) __builtin_trap();
}

// Counts how often the input came as far as this, and says so at the end: a fuzzer that never gets there is
// no test.
inline void reached(const char* what) {
  struct Tally {
    const char* what;
    unsigned long long count;
    ~Tally() { std::fprintf(stderr, "reached: %llu %s\n", count, what); }
  };
  static Tally tally{what, 0};
  tally.count++;
}
