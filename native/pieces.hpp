// Messages that are on their way in pieces, or wait for room, and the place where one is written.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "stream.hpp"
#include "values.hpp"

namespace ballermann {

// What a message is.
enum Kind : uint8_t { kOneByteText = 1, kTwoByteText, kValue };

// The longest message that is taken: four times what a payload may weigh, since a number of JSON that weighs
// 6 takes 9 bytes, and a character of two bytes weighs 1.
inline constexpr size_t kMaxMessage = 256 << 20;

// The first room for a value that is written into the stream.
inline constexpr size_t kFirstRoom = 1024;

// A message that waits for room, or the rest of one.
struct Waiting {
  Bytes bytes;
  size_t size;
  size_t sent;
  Kind kind;
};

// A message of which some pieces have come.
struct Partial {
  Bytes bytes;
  size_t size = 0;
  size_t capacity = 0;
  uint8_t kind = 0;  // 0: there is none

  // False where it would be too long, or there is no memory.
  bool add(const Frame& frame) {
    const size_t wanted = size + frame.length;
    if (wanted > kMaxMessage) return false;
    if (wanted > capacity) {
      capacity = std::max(wanted, 2 * capacity);
      if (!resize(bytes, capacity)) return false;
    }
    if (frame.length > 0) std::memcpy(bytes.get() + size, frame.bytes, frame.length);
    size = wanted;
    kind = frame.kind;
    return true;
  }
};

// In the stream, as long as there is room; then, and where there is none, on the heap.
class StreamPlace final : public Place {
 public:
  // @param writer null: there is no room.
  explicit StreamPlace(Writer* writer) : writer_(writer) {}

  uint8_t* grow(size_t size, size_t& capacity) override {
    const size_t wanted = std::max({size, 2 * capacity_, kFirstRoom});
    uint8_t* place = writer_ == nullptr ? nullptr : in_stream(wanted);
    if (place == nullptr) place = on_heap(wanted);
    if (place != nullptr) capacity_ = capacity = wanted;
    return place;
  }

  Bytes take() { return std::move(heap_); }

 private:
  uint8_t* in_stream(size_t wanted) {
    if (wanted > kMaxFrameBytes) return nullptr;
    const auto room = static_cast<uint32_t>(wanted);
    uint8_t* place = reserved_ == nullptr ? writer_->reserve(room) : writer_->grow(room);
    if (place != nullptr) reserved_ = place;
    return place;
  }

  uint8_t* on_heap(size_t wanted) {
    if (!resize(heap_, wanted)) return nullptr;
    if (writer_ != nullptr && reserved_ != nullptr) std::memcpy(heap_.get(), reserved_, capacity_);
    writer_ = nullptr;
    return heap_.get();
  }

  Writer* writer_;
  uint8_t* reserved_ = nullptr;
  Bytes heap_;
  size_t capacity_ = 0;
};

}  // namespace ballermann
