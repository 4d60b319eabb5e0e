// A segment that holds anything, from a fuzzer's input.
#pragma once

#include <cstdlib>
#include <new>

#include "../../native/layout.hpp"
#include "bytes.hpp"

namespace ballermann {

// On the heap in its exact size, so that AddressSanitizer sees a step outside.
inline Segment& segment() {
  static Segment* const memory = new (std::aligned_alloc(alignof(Segment), sizeof(Segment)))
      Segment{};  // NOLINT: lives as long as the process
  return *memory;
}

// Any bytes over [begin, begin + size), the input's again and again.
inline void fill(void* begin, size_t size, Bytes& bytes) {
  uint8_t pattern[64];
  const size_t length = 1 + bytes.take<uint8_t>() % sizeof pattern;
  bytes.read(pattern, length);
  auto* to = static_cast<uint8_t*>(begin);
  for (size_t at = 0; at < size; at += length) std::memcpy(to + at, pattern, std::min(length, size - at));
}

}  // namespace ballermann
