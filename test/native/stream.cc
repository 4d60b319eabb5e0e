// What the two sides of a stream make of each word that the other one may write: exactly what can be is
// taken, all else is reported, for good. And where frames come to lie.
//
// Says how many checks there were; exits with 1 at the first that fails.
#include "stream.hpp"

#include <memory>

#include "examples.hpp"

namespace ballermann {
namespace {

using examples::check;

struct Both {
  std::unique_ptr<Channel> channel = std::make_unique<Channel>();
  ChannelWords& words = channel->words;
  Duplex primary = Duplex::of_primary(*channel);
  Duplex replica = Duplex::of_replica(*channel);

  // A frame from the primary to the replica, and back out.
  void pass(uint32_t length) {
    check(primary.out.reserve(length) != nullptr, "there is room");
    primary.out.commit(length, 1);
    Frame frame{};
    check(replica.in.front(frame) == Front::kFrame && frame.length == length, "it arrives");
    replica.in.pop();
  }

  uint64_t tail() const { return words.to_replica.tail.load(); }

  // What the primary reads, where the replica wrote such a word and such a tail.
  Front reads(uint64_t word, uint64_t there) {
    const uint64_t at = words.to_primary.head.load();
    channel->to_primary[offset_of(at) / kCellBytes] = word;
    words.to_primary.tail.store(at + there);
    Frame frame{};
    const Front front = primary.in.front(frame);
    check((front == Front::kBroken) == primary.in.is_broken(), "it says so");
    channel->to_primary[offset_of(at) / kCellBytes] = frame_of(8, 1, false);  // whatever comes later
    words.to_primary.tail.store(at + 16);
    check(!primary.in.is_broken() || primary.in.front(frame) == Front::kBroken, "for good");
    return front;
  }
};

void a_frame_that_can_be_is_read_and_no_other() {
  const uint64_t most = kMaxFrameBytes;
  const struct {
    uint64_t word;
    uint64_t there;
    bool can_be;
    const char* what;
  } cases[] = {
      {frame_of(0, 1, false), 8, true, "empty"},
      {frame_of(1, 255, true), 16, true, "one byte"},
      {frame_of(8, 1, false), 16, true, "one cell"},
      {frame_of(8, 1, false), kStreamBytes, true, "and more behind it"},
      {frame_of(kMaxFrameBytes, 1, false), kStreamBytes, true, "the longest"},
      {frame_of(8, 1, false), 8, false, "longer than what is there"},
      {frame_of(9, 1, false), 16, false, "longer by a byte"},
      {frame_of(8, 1, false), 20, false, "a tail within a cell"},
      {frame_of(8, 1, false), kStreamBytes + 8, false, "a tail too far ahead"},
      {frame_of(8, 1, false), uint64_t{0} - 8, false, "a tail behind the head"},
      {most + 1 + (uint64_t{1} << 32), kStreamBytes, false, "a frame that is too long"},
      {UINT32_MAX + (uint64_t{1} << 32), kStreamBytes, false, "a frame longer than all"},
      {frame_of(8, 1, false) | uint64_t{1} << 40, 16, false, "a bit that means nothing"},
      {frame_of(8, 1, false) | uint64_t{1} << 62, 16, false, "another"},
      {UINT64_MAX, kStreamBytes, false, "all ones"},
      {frame_of(kStreamBytes - 8, kPad, false), kStreamBytes, false, "a pad of all the memory"},
      {frame_of(0, kPad, false), 16, false, "a pad that ends too soon"},
      {0, kStreamBytes, false, "zeros"},
  };
  for (const auto& [word, there, can_be, what] : cases) {
    Both both;
    check(both.reads(word, there) == (can_be ? Front::kFrame : Front::kBroken), what);
  }
}

// The reader stands 16 bytes before the end.
void a_pad_fills_what_is_left_and_a_frame_follows() {
  const struct {
    uint64_t word;
    uint64_t next;  // the word at the beginning
    uint64_t there;
    bool can_be;
    const char* what;
  } cases[] = {
      {frame_of(8, kPad, false), frame_of(8, 1, false), 32, true, "a pad and a frame"},
      {frame_of(8, 1, false), 0, 16, true, "a frame that just fits"},
      {frame_of(8, kPad, false), 0, 16, false, "a pad with nothing behind it"},
      {frame_of(8, kPad, false), frame_of(8, 1, false), 8, false, "a pad that is not there"},
      {frame_of(8, kPad, false), frame_of(8, 1, false), 24, false, "a frame behind it that is not there"},
      {frame_of(8, kPad, false), frame_of(8, kPad, false), 32, false, "a pad behind a pad"},
      {frame_of(0, kPad, false), frame_of(8, 1, false), 32, false, "a pad that is too short"},
      {frame_of(16, kPad, false), frame_of(8, 1, false), 32, false, "a pad that is too long"},
      {frame_of(8, kPad, true), frame_of(8, 1, false), 32, false, "a pad of which there is more"},
      {frame_of(16, 1, false), 0, 64, false, "a frame over the end"},
  };
  for (const auto& [word, next, there, can_be, what] : cases) {
    Both both;
    for (const uint32_t length : {kMaxFrameBytes - 16, kMaxFrameBytes}) {
      both.replica.out.reserve(length);
      both.replica.out.commit(length, 1);
      Frame frame{};
      check(both.primary.in.front(frame) == Front::kFrame, "it is read");
      both.primary.in.pop();
    }
    check(to_end_of(both.words.to_primary.head.load()) == 16, "16 bytes before the end");
    both.channel->to_primary[0] = next;
    check(both.reads(word, there) == (can_be ? Front::kFrame : Front::kBroken), what);
  }
}

void a_reader_that_cannot_be_there_is_reported() {
  const struct {
    int64_t from_tail;
    bool can_be;
    const char* what;
  } cases[] = {
      {0, true, "all released"},
      {-24'008, true, "nothing released"},
      {8, false, "more than was written"},
      {-4, false, "within a cell"},
      {-24'016, false, "back"},
      {-100'000, false, "far back"},
      {1 << 30, false, "far ahead"},
  };
  for (const auto& [from_tail, can_be, what] : cases) {
    Both both;
    both.pass(1000);
    check(both.primary.out.reserve(24'000) != nullptr, "this looks at the head");
    both.primary.out.commit(24'000, 1);
    both.words.to_replica.head.store(both.tail() + static_cast<uint64_t>(from_tail));
    check((both.primary.out.reserve(30'000) != nullptr) == can_be, what);
    check(both.primary.out.is_broken() == !can_be, "it says so");
    both.words.to_replica.head.store(both.tail());
    check((both.primary.out.reserve(0) != nullptr) == can_be, "for good");
    check(!both.primary.sleep({false, true, 30'000}), "nobody sleeps for room that never comes");
  }
}

void small_traffic_stays_warm() {
  Both both;
  for (uint32_t i = 0; i < 5'000; ++i) {
    both.pass(i % 700);
    check(offset_of(both.tail()) < kWarmBytes, "within the warm bytes");
  }
  check(both.primary.out.spare(4096).bytes == 0, "there is nothing to give back");
}

void what_was_large_is_given_back_when_it_is_empty() {
  Both both;
  both.pass(1'000'000);
  both.primary.out.reserve(10);
  both.primary.out.commit(10, 1);
  check(both.primary.out.spare(4096).bytes == 0, "not while there is something to read");
  Frame frame{};
  both.replica.in.front(frame);
  both.replica.in.pop();
  const Spare spare = both.primary.out.spare(4096);
  check(spare.offset == kWarmBytes, "all but the warm bytes");
  check(spare.offset + spare.bytes >= 1'000'008 && spare.offset + spare.bytes < 1'005'000, "in whole pages");
  check(both.primary.out.spare(4096).bytes == 0, "once");
  both.pass(10);
}

void an_empty_stream_takes_the_longest_frame_wherever_it_stands() {
  for (const uint32_t first : {0U, 8U, kMaxFrameBytes / 2, kMaxFrameBytes - 8, kMaxFrameBytes}) {
    for (const uint32_t second : {0U, 16U, kMaxFrameBytes - 16, kMaxFrameBytes}) {
      Both both;
      both.pass(first);
      both.pass(second);
      both.pass(kMaxFrameBytes);
    }
  }
  Both both;
  check(both.primary.out.reserve(kMaxFrameBytes + 1) == nullptr, "not a longer one");
}

void a_full_stream_takes_no_more() {
  Both both;
  uint64_t frames = 0;
  while (both.primary.out.reserve(1000) != nullptr) {
    both.primary.out.commit(1000, 1);
    frames++;
  }
  check(frames == kStreamBytes / 1008, "as many as fit");
  Frame frame{};
  both.replica.in.front(frame);
  both.replica.in.pop();
  check(both.primary.out.reserve(1008) == nullptr, "a pad would have to fit besides");
  both.replica.in.front(frame);
  both.replica.in.pop();
  check(both.primary.out.reserve(1008) != nullptr, "now it does");
}

void a_sleeper_is_rung_once_for_what_it_waits_for() {
  Both both;
  Frame frame{};
  check(both.replica.sleep({true, false, 0}), "nothing is there");
  both.primary.out.reserve(8);
  check(both.primary.out.commit(8, 1), "rung");
  both.primary.out.reserve(8);
  check(!both.primary.out.commit(8, 1), "once");
  check(!both.replica.sleep({true, false, 0}), "something is there");
  check(both.replica.sleep({false, true, 8}) == false, "there is room");
  check(both.primary.sleep({true, false, 0}), "the other side");
  both.replica.in.front(frame);
  check(!both.replica.in.pop(), "not for room: it waits for data only");
  both.replica.out.reserve(0);
  check(both.replica.out.commit(0, 1), "rung for data");
  both.replica.in.front(frame);
  both.replica.in.pop();
  both.replica.sleep({true, false, 0});
  both.replica.wake();
  both.primary.out.reserve(0);
  check(!both.primary.out.commit(0, 1), "who is awake is not rung");
  while (both.primary.out.reserve(kMaxFrameBytes) != nullptr) both.primary.out.commit(kMaxFrameBytes, 1);
  check(both.primary.sleep({false, true, kMaxFrameBytes}), "no room");
  bool rung = false;
  while (both.replica.in.front(frame) == Front::kFrame) {
    const bool rings = both.replica.in.pop();
    check(!(rung && rings), "once");
    rung |= rings;
  }
  check(rung, "rung for room");
}

void a_header_of_another_build_is_refused() {
  check(compatible(this_channel()), "its own");
  ChannelHeader header = this_channel();
  header.version++;
  check(!compatible(header), "another version");
  header = this_channel();
  header.magic = 0;
  check(!compatible(header), "no channel");
  header = this_channel();
  header.stream_bytes *= 2;
  check(!compatible(header), "another size");
  header = this_channel();
  header.total_bytes -= 8;
  check(!compatible(header), "another length");
}

constexpr examples::Scenario kScenarios[] = {
    SCENARIO(a_frame_that_can_be_is_read_and_no_other),
    SCENARIO(a_pad_fills_what_is_left_and_a_frame_follows),
    SCENARIO(a_reader_that_cannot_be_there_is_reported),
    SCENARIO(small_traffic_stays_warm),
    SCENARIO(what_was_large_is_given_back_when_it_is_empty),
    SCENARIO(an_empty_stream_takes_the_longest_frame_wherever_it_stands),
    SCENARIO(a_full_stream_takes_no_more),
    SCENARIO(a_sleeper_is_rung_once_for_what_it_waits_for),
    SCENARIO(a_header_of_another_build_is_refused),
};

}  // namespace
}  // namespace ballermann

int main() { examples::run(ballermann::kScenarios); }
