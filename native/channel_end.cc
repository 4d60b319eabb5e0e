#include "channel_end.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <string>
#include <utility>

#include "local.hpp"
#include "memory_file.hpp"
#include "stream.hpp"
#include "uv_handle.hpp"
#include "values.hpp"

namespace ballermann {
namespace {

// What a message is.
enum Kind : uint8_t { kOneByteText = 1, kTwoByteText, kValue };

// The longest message that is taken: four times what a payload may weigh, since a number of JSON that weighs
// 6 takes 9 bytes, and a character of two bytes weighs 1.
constexpr size_t kMaxMessage = 256 << 20;

// What does not fit into one frame travels in pieces of so many bytes, so that both ends work at the same
// time.
constexpr uint32_t kPiece = 256 << 10;

// ns for which one turn of the event loop takes messages: then sockets and timers have theirs.
constexpr uint64_t kTurn = 2'000'000;

// Bytes that an end may read before it is another's turn. Who sends large messages has fewer of them taken.
constexpr int64_t kShare = 64 << 10;

// Turns without a message after which an end is looked at no more until its bell rings.
constexpr int kQuietTurns = 8;

// ms without a message after which an end gives memory of its stream back that more than small ones have
// needed.
constexpr uint64_t kTidyAfter = 1'000;

// The first room for a value that is written into the stream.
constexpr size_t kFirstRoom = 1024;

class End;

// The ends of this thread that may have something to do, and the turns of its event loop. It lasts as long as
// the environment.
class Turns {
 public:
  static Turns& of(Napi::Env env) {
    if (own_ == nullptr) own_ = new Turns(env);
    return *own_;
  }

  uv_loop_t* loop() const { return loop_; }

  // From the next turn on it is looked at.
  void add(End* end) { awake_.push_back(end); }

  // It has written: its memory is looked after.
  void wrote(End* end) {
    untidy_.push_back(end);
    if (!uv_is_active(as_handle(&tidy_))) tidy_later();
  }

  // All ends take what has come by now, however long that takes.
  static void catch_up();

  // It is looked at no more.
  static void drop(End* end) {
    if (own_ == nullptr) return;
    std::replace(own_->awake_.begin(), own_->awake_.end(), end, static_cast<End*>(nullptr));
    own_->untidy_.remove(end);
  }

 private:
  explicit Turns(Napi::Env env) {
    if (napi_get_uv_event_loop(env, &loop_) != napi_ok) throw Napi::Error::New(env, "no event loop");
    uv_prepare_init(loop_, &prepare_);
    uv_check_init(loop_, &check_);
    uv_idle_init(loop_, &idle_);
    uv_timer_init(loop_, &tidy_);
    for (uv_handle_t* handle : handles()) {
      uv_handle_set_data(handle, this);
      uv_unref(handle);
    }
    uv_prepare_start(&prepare_, [](uv_prepare_t* handle) { turns_of(handle).before_poll(); });
    uv_check_start(&check_, [](uv_check_t* handle) { turns_of(handle).after_poll(); });
    napi_add_async_cleanup_hook(env, at_teardown, this, &hook_);
  }

  static Turns& turns_of(void* handle) {
    return *static_cast<Turns*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
  }

  static constexpr int kHandles = 4;

  std::array<uv_handle_t*, kHandles> handles() {
    return {as_handle(&prepare_), as_handle(&check_), as_handle(&idle_), as_handle(&tidy_)};
  }

  static void at_teardown(napi_async_cleanup_hook_handle, void* data) {
    Turns& self = *static_cast<Turns*>(data);
    own_ = nullptr;
    for (uv_handle_t* handle : self.handles()) uv_close(handle, closed);
  }

  static void closed(uv_handle_t* handle) {
    Turns& self = turns_of(handle);
    if (--self.open_handles_ > 0) return;
    napi_remove_async_cleanup_hook(self.hook_);  // the environment waits for this
    delete &self;
  }

  // Without any JavaScript: the loop clock counts this as a part of the poll.
  void before_poll();
  void after_poll() noexcept;
  void tidy();
  void tidy_later();

  static thread_local Turns* own_;

  uv_loop_t* loop_ = nullptr;
  uv_prepare_t prepare_;
  uv_check_t check_;
  uv_idle_t idle_;  // while it runs, a poll does not wait
  uv_timer_t tidy_;
  int open_handles_ = kHandles;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  // The first one's turn is next; null: one that was dropped. (A vector would ask for a newer libstdc++.)
  std::list<End*> awake_;
  std::list<End*> untidy_;  // those that have written
};

thread_local Turns* Turns::own_ = nullptr;

Bytes allocate(Napi::Env env, size_t size) {
  Bytes bytes(static_cast<uint8_t*>(std::malloc(std::max<size_t>(size, 1))));
  if (bytes == nullptr) throw Napi::Error::New(env, "no memory is left");
  return bytes;
}

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
      void* grown = std::realloc(bytes.get(), capacity);
      if (grown == nullptr) return false;
      static_cast<void>(bytes.release());
      bytes.reset(static_cast<uint8_t*>(grown));
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

  bool is_in_stream() const { return writer_ != nullptr; }
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
    auto* grown = static_cast<uint8_t*>(std::realloc(heap_.get(), wanted));
    if (grown == nullptr) return nullptr;
    if (writer_ != nullptr && reserved_ != nullptr) std::memcpy(grown, reserved_, capacity_);
    writer_ = nullptr;
    static_cast<void>(heap_.release());
    heap_.reset(grown);
    return grown;
  }

  Writer* writer_;
  uint8_t* reserved_ = nullptr;
  Bytes heap_;
  size_t capacity_ = 0;
};

// Owns itself; freed when its handle is closed. What libuv calls is noexcept: nothing can be thrown through
// C.
class End {
 public:
  // Takes the mapping and the descriptors over.
  End(Napi::Env env, Channel* memory, bool is_primary, int ear, int bell, Napi::Function take,
      Napi::Function written, Napi::Function broken)
      : env_(env),
        memory_(memory),
        out_(is_primary ? memory->to_replica : memory->to_primary),
        duplex_(is_primary ? Duplex::of_primary(*memory) : Duplex::of_replica(*memory)),
        ear_(ear),
        bell_(bell),
        take_(Napi::Persistent(take)),
        written_(Napi::Persistent(written)),
        broken_(Napi::Persistent(broken)),
        context_(env, "ballermann.Channel") {}

  ~End() {
    munmap(memory_, sizeof(Channel));
    ::close(ear_);
    ::close(bell_);
  }

  // @return 0, or libuv's negative number of an error: it is the caller's to delete then.
  int open() {
    uv_loop_t* loop = Turns::of(env_).loop();
    if (const int error = uv_poll_init(loop, &poll_, ear_); error != 0) return error;
    uv_handle_set_data(as_handle(&poll_), this);
    uv_unref(as_handle(&poll_));
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int, int) { of(handle).rung(); });
    napi_add_async_cleanup_hook(env_, at_teardown, this, &hook_);
    stir();
    return 0;
  }

  void close() {
    if (is_closed_) return;
    is_closed_ = true;
    Turns::drop(this);
    take_.Reset();
    written_.Reset();
    broken_.Reset();
    waiting_.clear();
    uv_close(as_handle(&poll_), closed);
  }

  // Says that it sleeps. @return whether there is nothing to do until its bell rings.
  bool sleep() {
    is_asleep_ = !has_news() && duplex_.sleep(wanted());
    return is_asleep_;
  }

  // Gives the memory of the stream back that is not in use. @return false where it has written since the last
  // time.
  bool tidy() {
    if (std::exchange(has_written_, false)) return false;
    is_untidy_ = false;
#ifdef __linux__
    const Spare spare = duplex_.out.spare(static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
    if (spare.bytes > 0) madvise(bytes_of(out_) + spare.offset, spare.bytes, MADV_REMOVE);
#endif
    return true;
  }

  // Goes on. @return false where it has had nothing to do for long: it sleeps on.
  bool wake() {
    if (is_asleep_ && ++quiet_turns_ > kQuietTurns) {
      is_awake_ = false;
      return false;
    }
    is_asleep_ = false;
    duplex_.wake();
    push_waiting();
    return true;
  }

  // Does one thing, where it is this end's turn. @return false where there is none to do.
  bool work() {
    if (is_closed_) return false;
    if (share_ <= 0 && !has_news()) {
      share_ += kShare;
      return may_read() && duplex_.in.has_news();
    }
    if (is_spoiled_) return has_news() && (tell_spoiled(), true);
    if (has_news()) {
      owes_written_ = false;
      const Napi::HandleScope scope(env_);
      call(written_, 0, nullptr);
      return true;
    }
    return take_one();
  }

  // Reads all that has come by now: not more than there can be, since the other side may go on writing.
  void catch_up() {
    for (uint64_t read = 0; read < kStreamBytes && may_read(); read += last_span_)
      if (!take_one()) return;
  }

  // The same, paused or not: the other side has ended.
  void drain() {
    do {
      is_paused_ = false;
      catch_up();
    } while (is_paused_);
    if (is_spoiled_ && has_news()) tell_spoiled();
  }

  // Reads again.
  void resume() {
    is_paused_ = false;
    stir();
  }

  // @return whether all of it is written: else what is left waits for room.
  bool write_text(Napi::String text) {
    const v8::Local<v8::String> string = to_local(text).As<v8::String>();
    const auto length = static_cast<size_t>(string->Length());
    const bool is_one_byte = string->IsOneByte();
    const size_t character = is_one_byte ? 1 : 2;
    const size_t room = (length + 1) * character;  // Node-API ends it with a 0
    uint8_t* place =
        may_write() && room <= kMaxFrameBytes ? duplex_.out.reserve(static_cast<uint32_t>(room)) : nullptr;
    Bytes own;
    if (place == nullptr) {
      own = allocate(env_, room);
      place = own.get();
    }
    size_t copied = 0;
    if (is_one_byte)
      napi_get_value_string_latin1(env_, text, reinterpret_cast<char*>(place), length + 1, &copied);
    else
      napi_get_value_string_utf16(env_, text, reinterpret_cast<char16_t*>(place), length + 1, &copied);
    return publish(std::move(own), copied * character, is_one_byte ? kOneByteText : kTwoByteText);
  }

  // The same of a value. Throws what V8 throws where it cannot be serialized; nothing is written then.
  bool write_value(Napi::Value value) {
    StreamPlace place(may_write() ? &duplex_.out : nullptr);
    const size_t size = ballermann::write_value(env_, value, place);
    return publish(place.take(), size, kValue);
  }

  // Waits, without the event loop, until all is written. @return false where the other side makes no room for
  // `ms`, or is gone.
  bool flush(int ms) {
    stir();
    while (!push_waiting()) {
      if (is_spoiled_) return false;
      Wanted room = wanted();
      room.data = false;
      if (!duplex_.sleep(room)) continue;
      pollfd look = {ear_, POLLIN, 0};
      const int found = ::poll(&look, 1, ms);
      duplex_.wake();
      if (found == 0 || (found > 0 && !hear()) || (found < 0 && errno != EINTR)) return false;
    }
    owes_written_ = false;
    return true;
  }

 private:
  static End& of(void* handle) {
    return *static_cast<End*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
  }

  static void at_teardown(napi_async_cleanup_hook_handle, void* data) { static_cast<End*>(data)->close(); }

  static void closed(uv_handle_t* handle) noexcept {
    End& self = of(handle);
    napi_remove_async_cleanup_hook(self.hook_);  // the environment waits for this
    delete &self;
  }

  // It is looked at in the next turn.
  void stir() {
    quiet_turns_ = 0;
    if (is_awake_ || is_closed_) return;
    is_awake_ = true;
    Turns::of(env_).add(this);
  }

  void rung() noexcept {
    if (!hear()) uv_poll_stop(&poll_);
    stir();
  }

  // Takes what the other side has rung. @return false where it has closed its end, as it dies.
  bool hear() {
    std::array<char, 64> rings;
    const ssize_t count = read(ear_, rings.data(), rings.size());
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
  }

  // A bell that is full has been rung; one whose reader has gone need not be.
  void ring() { [[maybe_unused]] const ssize_t written = write(bell_, "", 1); }

  // JavaScript is to be told something that has not come through the stream.
  bool has_news() const { return is_spoiled_ ? !has_told_spoiled_ : owes_written_ && waiting_.empty(); }

  Wanted wanted() const {
    if (is_spoiled_) return {false, false, 0};
    return {!is_paused_, !waiting_.empty(), waiting_.empty() ? 0 : next_piece()};
  }

  bool may_write() const { return waiting_.empty() && !is_spoiled_; }

  // @param own null: it is in the place that was reserved.
  bool publish(Bytes own, size_t size, Kind kind) {
    has_written_ = true;
    if (!std::exchange(is_untidy_, true)) Turns::of(env_).wrote(this);
    if (own == nullptr) {
      if (duplex_.out.commit(static_cast<uint32_t>(size), kind)) ring();
      return true;
    }
    waiting_.push_back({std::move(own), size, 0, kind});
    if (push_waiting()) return true;
    owes_written_ = true;
    stir();  // to sleep until there is room, too
    return false;
  }

  uint32_t next_piece() const {
    const Waiting& first = waiting_.front();
    return static_cast<uint32_t>(std::min<size_t>(first.size - first.sent, kPiece));
  }

  // @return whether nothing waits any more.
  bool push_waiting() {
    while (!waiting_.empty() && !is_spoiled_) {
      Waiting& first = waiting_.front();
      const uint32_t piece = next_piece();
      uint8_t* place = duplex_.out.reserve(piece);
      if (place == nullptr) {
        if (duplex_.out.is_broken()) spoil("it has released what was not written");
        return false;
      }
      std::memcpy(place, first.bytes.get() + first.sent, piece);
      first.sent += piece;
      quiet_turns_ = 0;
      const bool more = first.sent < first.size;
      if (duplex_.out.commit(piece, first.kind, more)) ring();
      if (!more) waiting_.pop_front();
    }
    return waiting_.empty();
  }

  bool may_read() const { return !is_paused_ && !is_spoiled_ && !is_closed_; }

  bool take_one() {
    if (!may_read()) return false;
    Frame frame;
    switch (duplex_.in.front(frame)) {
      case Front::kFrame:
        quiet_turns_ = 0;
        last_span_ = span_of(frame.length);
        share_ -= static_cast<int64_t>(last_span_);
        receive(frame);
        return true;
      case Front::kBroken:
        spoil("what it has written is no frame");
        return true;
      case Front::kNothing:
        share_ = kShare;
        break;
    }
    return false;
  }

  void receive(const Frame& frame) {
    Napi::HandleScope scope(env_);
    napi_value message = nullptr;
    try {
      message = message_of(frame);
    } catch (const Napi::Error& error) {
      spoil(error.Message());
    }
    if (message == nullptr) return;
    const napi_value answer = call(take_, 1, &message);
    bool goes_on = true;
    if (answer != nullptr && napi_get_value_bool(env_, answer, &goes_on) == napi_ok && !goes_on)
      is_paused_ = true;
  }

  // Copies it first: nobody changes then what was checked. @return null where more pieces are to come.
  napi_value message_of(const Frame& frame) {
    if (!frame.more && partial_.kind == 0) {
      if (frame.kind != kValue) {
        const napi_value text = string_of(frame.bytes, frame.length, frame.kind);
        pop();
        return text;
      }
      Bytes bytes = allocate(env_, frame.length);
      std::memcpy(bytes.get(), frame.bytes, frame.length);
      pop();
      return read_value(env_, std::move(bytes), frame.length);
    }
    if (partial_.kind != 0 && partial_.kind != frame.kind)
      throw Napi::Error::New(env_, "a message goes on as another one");
    if (!partial_.add(frame)) throw Napi::Error::New(env_, "a message is too long");
    pop();
    if (frame.more) return nullptr;
    Partial whole = std::exchange(partial_, {});
    if (whole.kind != kValue) return string_of(whole.bytes.get(), whole.size, whole.kind);
    return read_value(env_, std::move(whole.bytes), whole.size);
  }

  napi_value string_of(const uint8_t* bytes, size_t size, uint8_t kind) {
    napi_value text = nullptr;
    napi_status status = napi_invalid_arg;
    if (kind == kOneByteText)
      status = napi_create_string_latin1(env_, reinterpret_cast<const char*>(bytes), size, &text);
    else if (kind == kTwoByteText && size % 2 == 0)
      status = napi_create_string_utf16(env_, reinterpret_cast<const char16_t*>(bytes), size / 2, &text);
    if (status != napi_ok) throw Napi::Error::New(env_, "a message of no known kind");
    return text;
  }

  void pop() {
    if (duplex_.in.pop()) ring();
  }

  // Nothing more is read or written.
  void spoil(std::string why) {
    is_spoiled_ = true;
    why_ = std::move(why);
    waiting_.clear();
    partial_ = {};
    stir();
  }

  void tell_spoiled() {
    has_told_spoiled_ = true;
    Napi::HandleScope scope(env_);
    napi_value why = Napi::String::New(env_, why_);
    call(broken_, 1, &why);
  }

  // As a callback of its own: its microtasks run after it, and what it throws is an uncaught exception which
  // does not keep the next message from being taken.
  // @return null where it throws.
  napi_value call(const Napi::FunctionReference& function, size_t count, const napi_value* arguments) {
    if (is_closed_) return nullptr;
    napi_value result = nullptr;
    const napi_status status =
        napi_make_callback(env_, context_, env_.Global(), function.Value(), count, arguments, &result);
    if (status == napi_ok) return result;
    napi_value thrown = nullptr;
    if (status == napi_pending_exception && napi_get_and_clear_last_exception(env_, &thrown) == napi_ok)
      napi_fatal_exception(env_, thrown);
    return nullptr;
  }

  Napi::Env env_;
  Channel* memory_;
  Cell* out_;  // the memory of the stream that is written
  Duplex duplex_;
  int ear_;   // where this side is rung
  int bell_;  // where the other one is
  Napi::FunctionReference take_;
  Napi::FunctionReference written_;
  Napi::FunctionReference broken_;
  Napi::AsyncContext context_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_poll_t poll_;
  std::list<Waiting> waiting_;
  Partial partial_;
  std::string why_;
  uint64_t last_span_ = 0;  // what the last frame has taken of the stream
  int64_t share_ = kShare;  // bytes that it may read before it is another's turn
  int quiet_turns_ = 0;
  bool is_awake_ = false;          // looked at in each turn
  bool is_asleep_ = false;         // since this turn's poll, or for longer: it will be rung
  bool is_paused_ = false;         // reads nothing
  bool owes_written_ = false;      // JavaScript was told that something waits
  bool is_spoiled_ = false;        // what the other side has written cannot be
  bool has_told_spoiled_ = false;  // JavaScript knows it
  bool has_written_ = false;       // since tidy()
  bool is_untidy_ = false;         // tidy() will be called
  bool is_closed_ = false;
};

void Turns::catch_up() {
  if (own_ == nullptr) return;
  for (End* end : own_->awake_)
    if (end != nullptr) end->catch_up();
}

void Turns::tidy_later() {
  uv_timer_start(
      &tidy_, [](uv_timer_t* handle) { turns_of(handle).tidy(); }, kTidyAfter, 0);
}

void Turns::tidy() {
  untidy_.remove_if([](End* end) { return end->tidy(); });
  if (!untidy_.empty()) tidy_later();
}

void Turns::before_poll() {
  bool all_sleep = true;
  for (End* end : awake_)
    if (end != nullptr && !end->sleep()) all_sleep = false;
  if (all_sleep)
    uv_idle_stop(&idle_);
  else
    uv_idle_start(&idle_, [](uv_idle_t*) {});
}

// By turns, so that none waits for all those of another.
void Turns::after_poll() noexcept {
  std::erase_if(awake_, [](End* end) { return end == nullptr || !end->wake(); });
  if (awake_.empty()) return;
  const uint64_t end = uv_hrtime() + kTurn;
  for (size_t without_work = 0; without_work < awake_.size();) {
    End* const one = awake_.front();
    awake_.splice(awake_.end(), awake_, awake_.begin());
    const bool worked = one != nullptr && one->work();
    without_work = worked ? 0 : without_work + 1;
    if (worked && uv_hrtime() >= end) break;
  }
}

void set_flags(int fd) {
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// The object that JavaScript has.
class ChannelEnd : public Napi::ObjectWrap<ChannelEnd> {
 public:
  // new ChannelEnd(isPrimary, memory, ear, bell, take, written, broken)
  explicit ChannelEnd(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ChannelEnd>(info) {
    const Napi::Env env = info.Env();
    const bool is_primary = info[0].As<Napi::Boolean>().Value();
    const int memory_fd = info[1].As<Napi::Number>().Int32Value();
    const int ear = info[2].As<Napi::Number>().Int32Value();
    const int bell = info[3].As<Napi::Number>().Int32Value();
    void* memory = map(env, memory_fd);
    ::close(memory_fd);  // the mapping keeps the memory
    for (const int fd : {ear, bell}) set_flags(fd);
    end_ = new End(env, static_cast<Channel*>(memory), is_primary, ear, bell, info[4].As<Napi::Function>(),
                   info[5].As<Napi::Function>(), info[6].As<Napi::Function>());
    if (const int error = end_->open(); error != 0) {
      delete std::exchange(end_, nullptr);
      throw Napi::Error::New(env, std::string("the bell of a channel: ") + uv_strerror(error));
    }
  }

  Napi::Value WriteText(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), end_ == nullptr || end_->write_text(info[0].As<Napi::String>()));
  }

  Napi::Value WriteValue(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), end_ == nullptr || end_->write_value(info[0]));
  }

  Napi::Value Flush(const Napi::CallbackInfo& info) {
    const int ms = info[0].As<Napi::Number>().Int32Value();
    return Napi::Boolean::New(info.Env(), end_ == nullptr || end_->flush(ms));
  }

  void Drain(const Napi::CallbackInfo&) {
    if (end_ != nullptr) end_->drain();
  }

  void Resume(const Napi::CallbackInfo&) {
    if (end_ != nullptr) end_->resume();
  }

  void Close(const Napi::CallbackInfo&) {
    if (end_ != nullptr) std::exchange(end_, nullptr)->close();
  }

 private:
  static void* map(Napi::Env env, int fd) {
    if (memory_file_bytes(fd) < sizeof(Channel))
      throw protocol_error(env, "file descriptor " + std::to_string(fd) + " is not a ballermann channel");
    void* memory = map_memory_file(fd, sizeof(Channel));
    if (memory == nullptr) throw system_error(env, "mmap");
    const ChannelHeader header = static_cast<Channel*>(memory)->words.header;
    if (compatible(header)) return memory;
    munmap(memory, sizeof(Channel));
    throw protocol_error(env, "the primary's channel has version " + std::to_string(header.version) +
                                  ", this " + "process needs " + std::to_string(kChannelVersion) +
                                  ": install the same ballermann in both");
  }

  End* end_ = nullptr;
};

void CatchUp(const Napi::CallbackInfo&) { Turns::catch_up(); }

struct Pipe {
  int read;
  int write;
};

Pipe make_pipe(Napi::Env env) {
  int ends[2];
  if (pipe(ends) != 0) throw system_error(env, "pipe");
  for (const int end : ends) set_flags(end);
  return {ends[0], ends[1]};
}

int make_memory(Napi::Env env) {
  const int fd = make_memory_file(env, "ballermann.channel", sizeof(Channel));
  void* memory = map_memory_file(fd, sizeof(ChannelWords));
  if (memory == nullptr) {
    const Napi::Error error = system_error(env, "mmap");
    close(fd);
    throw error;
  }
  static_cast<ChannelWords*>(memory)->header = this_channel();
  munmap(memory, sizeof(ChannelWords));
  return fd;
}

// A bell is a pipe: each side has a description of its end that the other cannot make blocking, as it could
// an eventfd's, which both would share.
Napi::Value MakeChannel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::list<std::pair<const char*, int>> made;
  try {
    made.emplace_back("memory", make_memory(env));
    const Pipe to_primary = make_pipe(env);
    made.emplace_back("ear", to_primary.read);
    made.emplace_back("replicaBell", to_primary.write);
    const Pipe to_replica = make_pipe(env);
    made.emplace_back("replicaEar", to_replica.read);
    made.emplace_back("bell", to_replica.write);
  } catch (...) {
    for (const auto& [name, fd] : made) close(fd);
    throw;
  }
  Napi::Object channel = Napi::Object::New(env);
  for (const auto& [name, fd] : made) channel.Set(name, Napi::Number::New(env, fd));
  return channel;
}

}  // namespace

void define_channel_end(Napi::Env env, Napi::Object exports) {
  exports.Set("catchUp", Napi::Function::New<CatchUp>(env, "catchUp"));
  exports.Set("makeChannel", Napi::Function::New<MakeChannel>(env, "makeChannel"));
  exports.Set("ChannelEnd",
              ChannelEnd::DefineClass(env, "ChannelEnd",
                                      {
                                          ChannelEnd::InstanceMethod<&ChannelEnd::WriteText>("writeText"),
                                          ChannelEnd::InstanceMethod<&ChannelEnd::WriteValue>("writeValue"),
                                          ChannelEnd::InstanceMethod<&ChannelEnd::Flush>("flush"),
                                          ChannelEnd::InstanceMethod<&ChannelEnd::Drain>("drain"),
                                          ChannelEnd::InstanceMethod<&ChannelEnd::Resume>("resume"),
                                          ChannelEnd::InstanceMethod<&ChannelEnd::Close>("close"),
                                      }));
}

}  // namespace ballermann
