#include "channel_end.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "local.hpp"
#include "uv_handle.hpp"

namespace ballermann {
namespace {

// What does not fit into one frame travels in pieces of so many bytes, so that both ends work at the same
// time.
constexpr uint32_t kPiece = 256 << 10;

// Turns without a message after which an end is looked at no more until its bell rings.
constexpr int kQuietTurns = 8;

Bytes allocate(Napi::Env env, size_t size) {
  Bytes bytes(static_cast<uint8_t*>(std::malloc(std::max<size_t>(size, 1))));
  if (bytes == nullptr) throw Napi::Error::New(env, "no memory is left");
  return bytes;
}

}  // namespace

ChannelEnd::ChannelEnd(Napi::Env env, Channel* memory, bool is_primary, int ear, int bell,
                       Napi::Function take, Napi::Function written, Napi::Function broken)
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

ChannelEnd::~ChannelEnd() {
  munmap(memory_, sizeof(Channel));
  ::close(ear_);
  ::close(bell_);
}

int ChannelEnd::open() {
  Turns& turns = Turns::of(env_);
  if (const int error = uv_poll_init(turns.loop(), &poll_, ear_); error != 0) return error;
  uv_handle_set_data(as_handle(&poll_), this);
  uv_unref(as_handle(&poll_));
  uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int, int) { of(handle).rung(); });
  napi_add_async_cleanup_hook(env_, at_teardown, this, &hook_);
  if (out_ == memory_->to_replica) turns.expect_answers();
  stir();
  return 0;
}

void ChannelEnd::close() {
  if (is_closed_) return;
  is_closed_ = true;
  Turns::drop(this);
  take_.Reset();
  written_.Reset();
  broken_.Reset();
  waiting_.clear();
  uv_close(as_handle(&poll_), closed);
}

bool ChannelEnd::sleep() noexcept {
  if (std::exchange(is_rung_, false) && !hear()) uv_poll_stop(&poll_);
  is_asleep_ = !has_news() && duplex_.sleep(wanted());
  return is_asleep_;
}

bool ChannelEnd::tidy() noexcept {
  if (std::exchange(has_written_, false)) return false;
  is_untidy_ = false;
#ifdef __linux__
  const Spare spare = duplex_.out.spare(static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  if (spare.bytes > 0) madvise(bytes_of(out_) + spare.offset, spare.bytes, MADV_REMOVE);
#endif
  return true;
}

bool ChannelEnd::wake() noexcept {
  if (is_asleep_ && ++quiet_turns_ > kQuietTurns) {
    is_awake_ = false;
    return false;
  }
  is_asleep_ = false;
  duplex_.wake();
  push_waiting();
  return true;
}

bool ChannelEnd::work() noexcept {
  if (is_closed_) return false;
  if (share_ <= 0 && !has_news()) {
    share_ += kShare;
    return has_come();
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

void ChannelEnd::catch_up() {
  for (uint64_t read = 0; read < kStreamBytes && may_read(); read += last_span_)
    if (!take_one()) return;
}

void ChannelEnd::drain() {
  Turns::found_now();
  do {
    is_paused_ = false;
    catch_up();
  } while (is_paused_);
  if (is_spoiled_ && has_news()) tell_spoiled();
}

void ChannelEnd::resume() {
  is_paused_ = false;
  stir();
}

bool ChannelEnd::write_text(Napi::String text) {
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

bool ChannelEnd::write_value(Napi::Value value) {
  StreamPlace place(may_write() ? &duplex_.out : nullptr);
  const size_t size = ballermann::write_value(env_, value, place);
  return publish(place.take(), size, kValue);
}

bool ChannelEnd::flush(int ms) {
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

void ChannelEnd::at_teardown(napi_async_cleanup_hook_handle, void* data) {
  static_cast<ChannelEnd*>(data)->close();
}

void ChannelEnd::closed(uv_handle_t* handle) noexcept {
  ChannelEnd& self = of(handle);
  napi_remove_async_cleanup_hook(self.hook_);  // the environment waits for this
  delete &self;
}

void ChannelEnd::stir() {
  quiet_turns_ = 0;
  if (is_awake_ || is_closed_) return;
  is_awake_ = true;
  Turns::of(env_).add(this);
}

// Its message first: the other side may wait for the answer. The bell is emptied before the next sleep.
void ChannelEnd::rung() noexcept {
  is_rung_ = true;
  stir();
}

bool ChannelEnd::hear() {
  std::array<char, 64> rings;
  const ssize_t count = read(ear_, rings.data(), rings.size());
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

// A bell that is full has been rung; one whose reader has gone need not be.
void ChannelEnd::ring() { [[maybe_unused]] const ssize_t written = write(bell_, "", 1); }

Wanted ChannelEnd::wanted() const {
  if (is_spoiled_) return {false, false, 0};
  return {!is_paused_, !waiting_.empty(), waiting_.empty() ? 0 : next_piece()};
}

bool ChannelEnd::publish(Bytes own, size_t size, Kind kind) {
  has_written_ = true;
  Turns::of(env_).wrote(this, !std::exchange(is_untidy_, true));
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

uint32_t ChannelEnd::next_piece() const {
  const Waiting& first = waiting_.front();
  return static_cast<uint32_t>(std::min<size_t>(first.size - first.sent, kPiece));
}

bool ChannelEnd::push_waiting() {
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

bool ChannelEnd::take_one() {
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

void ChannelEnd::receive(const Frame& frame) {
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

napi_value ChannelEnd::message_of(const Frame& frame) {
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

napi_value ChannelEnd::string_of(const uint8_t* bytes, size_t size, uint8_t kind) {
  napi_value text = nullptr;
  napi_status status = napi_invalid_arg;
  if (kind == kOneByteText)
    status = napi_create_string_latin1(env_, reinterpret_cast<const char*>(bytes), size, &text);
  else if (kind == kTwoByteText && size % 2 == 0)
    status = napi_create_string_utf16(env_, reinterpret_cast<const char16_t*>(bytes), size / 2, &text);
  if (status != napi_ok) throw Napi::Error::New(env_, "a message of no known kind");
  return text;
}

void ChannelEnd::pop() {
  if (duplex_.in.pop()) ring();
}

void ChannelEnd::spoil(std::string why) {
  is_spoiled_ = true;
  why_ = std::move(why);
  waiting_.clear();
  partial_ = {};
  stir();
}

void ChannelEnd::tell_spoiled() {
  has_told_spoiled_ = true;
  Napi::HandleScope scope(env_);
  napi_value why = Napi::String::New(env_, why_);
  call(broken_, 1, &why);
}

napi_value ChannelEnd::call(const Napi::FunctionReference& function, size_t count,
                            const napi_value* arguments) {
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

}  // namespace ballermann
