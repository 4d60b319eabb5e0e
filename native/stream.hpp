// The channel between the primary and one replica: two streams of frames in shared memory, one each way, and
// who has to ring whose bell.
//
// A frame is one cell that says its length and kind, then its bytes, up to the next full cell. Positions are
// counts of bytes since the beginning; they never wrap (64 bits), and modulo the stream's size they say where
// a byte lies. A frame lies in one piece: where it would cross the end of the memory, a frame of kind kPad
// fills what is left there, and it lies at the beginning. What is longer than a frame travels in several.
//
// Roles. Each stream has one writer and one reader, one thread each. Both keep their own position privately;
// what they share is a copy for the other side, which they never read again.
//
// Invariants.
//  1. tail - size <= head <= tail. What lies from head to tail is the reader's, whole frames, the last one no
//     pad. All else is the writer's: nothing there is ever read. The writer moves the tail only, when a frame
//     (and the pad before it) is complete; the reader moves the head only, when it has done with a frame. A
//     side that dies leaves whole frames behind it.
//  2. So the writer may begin again at the beginning whenever the reader has released all (head == tail): by
//     an ordinary pad. The reader need not know why a pad is there.
//  3. A frame of kMaxFrameBytes fits into an empty stream, wherever its tail is: a writer that waits for room
//     gets it once the reader has released all.
//  4. Sleep. A side says what it sleeps for, then looks once more. The other side moves its position, then
//     looks at what the first one sleeps for. All four are sequentially consistent, so at least one sees the
//     other. Whoever finds a sleeper takes what it said back, in one step, and only who has done so rings:
//     once for each sleep. A side has one bell, for data and for room.
//  5. Whatever the other process writes, nothing outside of the stream is read or written, and every loop
//     ends. A position or a frame that cannot be is reported as broken, and stays so. Where the other side
//     has moved nothing that cannot be but its words are garbage, only this channel's messages are.
#pragma once

#include <algorithm>

#include "channel_layout.hpp"

namespace ballermann {

// The longest payload of one frame.
inline constexpr uint32_t kMaxFrameBytes = kStreamBytes / 2 - kCellBytes;

// The kind of a frame that says nothing. All other kinds are the caller's.
inline constexpr uint8_t kPad = 0;

// The first cell of a frame: (more << 63 | kind << 32 | length of the payload in bytes).
inline constexpr uint64_t kMore = uint64_t{1} << 63;
inline uint64_t frame_of(uint32_t length, uint8_t kind, bool more) {
  return (more ? kMore : 0) | uint64_t{kind} << 32 | length;
}
inline bool is_frame(uint64_t word) { return (word & ~kMore) >> 40 == 0; }
inline uint32_t length_of(uint64_t word) { return static_cast<uint32_t>(word); }
inline uint8_t kind_of(uint64_t word) { return static_cast<uint8_t>(word >> 32); }
inline bool has_more(uint64_t word) { return (word & kMore) != 0; }

// What a frame with a payload of so many bytes takes of a stream.
inline uint64_t span_of(uint32_t length) {
  return kCellBytes + (uint64_t{length} + kCellBytes - 1) / kCellBytes * kCellBytes;
}

// Where a position lies in the memory, and how much lies there before its end.
inline uint64_t offset_of(uint64_t position) { return position % kStreamBytes; }
inline uint64_t to_end_of(uint64_t position) { return kStreamBytes - offset_of(position); }

// Tells whether a side, which has moved a position, has to ring the other's bell: see invariant 4.
inline bool takes_sleeper(std::atomic<uint32_t>& sleeps_for, uint32_t what) {
  if ((sleeps_for.load(std::memory_order_seq_cst) & what) == 0) return false;
  return sleeps_for.exchange(0, std::memory_order_seq_cst) != 0;
}

// A part of a stream's memory.
struct Spare {
  uint64_t offset;
  uint64_t bytes;
};

class Writer {
 public:
  // Once for each stream, while it is new.
  Writer(Stream& stream, Cell* data, std::atomic<uint32_t>& reader_sleeps_for)
      : stream_(stream), data_(data), reader_sleeps_for_(reader_sleeps_for) {}

  // A place in the stream for a payload, aligned to a cell. It is the caller's until commit(), or until the
  // next reserve() takes it for another; nothing has happened then.
  // @return null where there is no room now, where the payload is too long for a frame, or is_broken().
  uint8_t* reserve(uint32_t length) {
    reserved_ = 0;
    const uint64_t at = place(length);
    if (at == kNowhere) return nullptr;
    reserve_at(at, length);
    return bytes_of(payload());
  }

  // Makes the reserved place longer, where it is or elsewhere in the stream, with what it holds. A place can
  // be had where has_room() says so.
  // @return null where that cannot be; the reserved place stays as it is.
  uint8_t* grow(uint32_t length) {
    const uint64_t at = reserved_ == 0 ? kNowhere : place(length);
    if (at == kNowhere) return nullptr;
    const Cell* old = payload();
    const uint64_t cells = reserved_ / kCellBytes - 1;
    reserve_at(at, length);
    if (payload() != old) std::copy_n(old, cells, payload());  // one lies before the tail, the other after it
    return bytes_of(payload());
  }

  // Publishes what was written to the reserved place, not longer than that.
  // @return whether the reader sleeps: the caller has to ring its bell.
  bool commit(uint32_t length, uint8_t kind, bool more = false) {
    if (at_ != tail_) {
      const auto pad = static_cast<uint32_t>(at_ - tail_ - kCellBytes);
      data_[offset_of(tail_) / kCellBytes] = frame_of(pad, kPad, false);
      touched_ = std::max(touched_, offset_of(tail_) + kCellBytes);
    }
    data_[offset_of(at_) / kCellBytes] = frame_of(length, kind, more);
    tail_ = at_ + span_of(length);
    reserved_ = 0;
    stream_.tail.store(tail_, std::memory_order_seq_cst);
    return takes_sleeper(reader_sleeps_for_, kForData);
  }

  // Whether reserve() would find a place.
  bool has_room(uint32_t length) { return place(length) != kNowhere; }

  // The reader's position cannot be: for good.
  bool is_broken() const { return broken_; }

  // What was written to and is not in use, beyond the warm bytes: the caller gives its pages back to the
  // system. Nothing while the reader has something to read. Not while a place is reserved.
  // @param page_bytes the size of a page, kDataOffset at most.
  Spare spare(uint64_t page_bytes) {
    const uint64_t begin = (kWarmBytes + page_bytes - 1) / page_bytes * page_bytes;
    if (touched_ <= begin || !look() || head_ != tail_) return {0, 0};
    const uint64_t end = (touched_ + page_bytes - 1) / page_bytes * page_bytes;
    touched_ = 0;
    return {begin, end - begin};
  }

 private:
  static constexpr uint64_t kNowhere = UINT64_MAX;

  // Sees how far the reader is. @return false where that cannot be.
  bool look() {
    const uint64_t head = stream_.head.load(std::memory_order_seq_cst);
    if (head - head_ > tail_ - head_ || head % kCellBytes != 0) broken_ = true;  // it went back, or too far
    if (!broken_) head_ = head;
    return !broken_;
  }

  // @return the position where a frame may begin: at the tail, or at the next beginning of the memory.
  uint64_t place(uint32_t length) {
    if (length > kMaxFrameBytes || broken_) return kNowhere;
    const uint64_t span = span_of(length);
    const bool warm = offset_of(tail_) + span < kWarmBytes;          // a pad may have to begin there
    if (warm && tail_ + span - head_ <= kStreamBytes) return tail_;  // by what is known, which is no less
    if (!look()) return kNowhere;
    const uint64_t room = kStreamBytes - (tail_ - head_);
    const uint64_t around = to_end_of(tail_);
    const bool begins_again = head_ == tail_ && !warm && span <= offset_of(tail_);
    if (span <= around && span <= room && !begins_again) return tail_;
    return around + span <= room ? tail_ + around : kNowhere;
  }

  void reserve_at(uint64_t at, uint32_t length) {
    at_ = at;
    reserved_ = span_of(length);
    touched_ = std::max(touched_, offset_of(at) + reserved_);
  }

  Cell* payload() const { return data_ + offset_of(at_) / kCellBytes + 1; }

  Stream& stream_;
  Cell* const data_;
  std::atomic<uint32_t>& reader_sleeps_for_;
  uint64_t tail_ = 0;
  uint64_t head_ = 0;      // as last seen
  uint64_t at_ = 0;        // where the reserved frame begins
  uint64_t reserved_ = 0;  // what it takes of the stream; 0: none
  uint64_t touched_ = 0;   // no byte from this offset on has been written since spare()
  bool broken_ = false;
};

// What a frame holds. It is there until pop(), but a writer that breaks the rules may change it meanwhile:
// copy it before it is parsed.
struct Frame {
  const uint8_t* bytes;
  uint32_t length;
  uint8_t kind;
  bool more;  // the message goes on in the next frame
};

enum class Front {
  kFrame,
  kNothing,
  kBroken,  // the writer's position or its frame cannot be: for good
};

class Reader {
 public:
  // Once for each stream, while it is new.
  Reader(Stream& stream, const Cell* data, std::atomic<uint32_t>& writer_sleeps_for)
      : stream_(stream), data_(data), writer_sleeps_for_(writer_sleeps_for) {}

  // Looks at the first frame that was not popped.
  Front front(Frame& frame) {
    if (broken_) return Front::kBroken;
    if (head_ == tail_) tail_ = stream_.tail.load(std::memory_order_acquire);
    if (head_ == tail_) return Front::kNothing;
    uint64_t there = tail_ - head_;
    if (there > kStreamBytes || there % kCellBytes != 0) return give_up();
    uint64_t word = read_once(data_[offset_of(head_) / kCellBytes]);
    if (kind_of(word) == kPad) {
      const uint64_t pad = to_end_of(head_);
      if (word != frame_of(static_cast<uint32_t>(pad - kCellBytes), kPad, false)) return give_up();
      if (pad > there) return give_up();
      head_ += pad;
      there -= pad;
      word = read_once(data_[0]);
    }
    const uint32_t length = length_of(word);
    const uint64_t span = span_of(length);
    if (!is_frame(word) || kind_of(word) == kPad || length > kMaxFrameBytes) return give_up();
    if (span > there || span > to_end_of(head_)) return give_up();
    front_ = span;
    frame = {bytes_of(data_ + offset_of(head_) / kCellBytes + 1), length, kind_of(word), has_more(word)};
    return Front::kFrame;
  }

  // Releases the frame that front() gave.
  // @return whether the writer sleeps until there is room: the caller has to ring its bell.
  bool pop() {
    head_ += front_;
    front_ = 0;
    stream_.head.store(head_, std::memory_order_seq_cst);
    // By half of it at least, so that a waiting writer is not woken for each frame. It gets all it can need
    // when the stream is empty, which is seen here at the latest.
    return tail_ - head_ <= kStreamBytes / 2 && takes_sleeper(writer_sleeps_for_, kForRoom);
  }

  // Whether front() has something to say.
  bool has_news() const {
    return broken_ || head_ != tail_ || stream_.tail.load(std::memory_order_seq_cst) != head_;
  }

  bool is_broken() const { return broken_; }

 private:
  Front give_up() {
    broken_ = true;
    return Front::kBroken;
  }

  Stream& stream_;
  const Cell* const data_;
  std::atomic<uint32_t>& writer_sleeps_for_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;   // as last seen
  uint64_t front_ = 0;  // what the frame that front() gave takes of the stream
  bool broken_ = false;
};

// What a side waits for while it sleeps.
struct Wanted {
  bool data = true;
  bool room = false;
  uint32_t length = 0;  // of the payload that waits for room
};

// One side of a channel. One for each side and channel, in one thread, made while the channel is new.
class Duplex {
 public:
  static Duplex of_primary(Channel& channel) {
    ChannelWords& words = channel.words;
    return {words.to_replica,   channel.to_replica,       words.to_primary,
            channel.to_primary, words.primary_sleeps_for, words.replica_sleeps_for};
  }

  static Duplex of_replica(Channel& channel) {
    ChannelWords& words = channel.words;
    return {words.to_primary,   channel.to_primary,       words.to_replica,
            channel.to_replica, words.replica_sleeps_for, words.primary_sleeps_for};
  }

  Writer out;
  Reader in;

  // Says that this side sleeps from now on until its bell rings. It may do something else meanwhile, and be
  // rung for what came.
  // @return false where something of what is wanted is there: this side is awake.
  bool sleep(const Wanted& wanted) {
    const uint32_t what = (wanted.data ? kForData : 0) | (wanted.room ? kForRoom : 0);
    sleeps_for_.store(what, std::memory_order_seq_cst);
    if (!(wanted.data && in.has_news()) && !(wanted.room && has_room(wanted.length))) return true;
    wake();
    return false;
  }

  // Whoever looks at all that it waits for need not be rung for it.
  void wake() { sleeps_for_.store(0, std::memory_order_relaxed); }

 private:
  Duplex(Stream& out_stream, Cell* out_data, Stream& in_stream, const Cell* in_data,
         std::atomic<uint32_t>& sleeps_for, std::atomic<uint32_t>& other_sleeps_for)
      : out(out_stream, out_data, other_sleeps_for),
        in(in_stream, in_data, other_sleeps_for),
        sleeps_for_(sleeps_for) {}

  // A broken stream never has room: that is news as well.
  bool has_room(uint32_t length) { return out.has_room(length) || out.is_broken(); }

  std::atomic<uint32_t>& sleeps_for_;
};

}  // namespace ballermann
