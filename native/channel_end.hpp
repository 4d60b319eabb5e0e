// One end of a channel in shared memory, in the event loop of its process.
#pragma once

#include <napi.h>
#include <uv.h>

#include <list>
#include <string>

#include "pieces.hpp"
#include "stream.hpp"
#include "turns.hpp"

namespace ballermann {

// Owns itself; freed when its handle is closed.
class ChannelEnd final : public TurnTaker {
 public:
  // Takes the mapping and the descriptors over: where this side is rung, and where the other one is.
  // @param take gets each message, and answers whether it wants the next one now; else resume() says when.
  // @param written is called when all is written that had to wait for room.
  // @param broken is called once, where the other side has written what cannot be.
  ChannelEnd(Napi::Env env, Channel* memory, bool is_primary, int ear, int bell, Napi::Function take,
             Napi::Function written, Napi::Function broken);
  ~ChannelEnd();

  // @return 0, or libuv's negative number of an error: it is the caller's to delete then.
  int open();
  void close();

  // @return whether all of it is written: else what is left waits for room.
  bool write_text(Napi::String text);

  // The same of a value. Throws what V8 throws where it cannot be serialized; nothing is written then.
  bool write_value(Napi::Value value);

  // Waits, without the event loop, until all is written. @return false where the other side makes no room for
  // `ms`, or is gone.
  bool flush(int ms);

  // As catch_up(), paused or not: the other side has ended.
  void drain();

  // Reads again.
  void resume();

  // Its turns. What comes while it catches up may go on for ever: it reads not more than there can be.
  bool sleep() noexcept override;
  bool wake() noexcept override;
  bool work() noexcept override;
  bool has_come() noexcept override { return may_read() && duplex_.in.has_news(); }
  void catch_up() override;
  bool tidy() noexcept override;

 private:
  static ChannelEnd& of(void* handle) {
    return *static_cast<ChannelEnd*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
  }
  static void at_teardown(napi_async_cleanup_hook_handle, void* data);
  static void closed(uv_handle_t* handle) noexcept;

  // It is looked at in the next turn.
  void stir();
  void rung() noexcept;
  // Takes what the other side has rung. @return false where it has closed its end, as it dies.
  bool hear();
  void ring();

  // JavaScript is to be told something that has not come through the stream.
  bool has_news() const { return is_spoiled_ ? !has_told_spoiled_ : owes_written_ && waiting_.empty(); }
  Wanted wanted() const;
  bool may_write() const { return waiting_.empty() && !is_spoiled_; }
  bool may_read() const { return !is_paused_ && !is_spoiled_ && !is_closed_; }

  // @param own null: it is in the place that was reserved.
  bool publish(Bytes own, size_t size, Kind kind);
  uint32_t next_piece() const;
  // @return whether nothing waits any more.
  bool push_waiting();

  bool take_one();
  void receive(const Frame& frame);
  // Copies it first: nobody changes then what was checked. @return null where more pieces are to come.
  napi_value message_of(const Frame& frame);
  napi_value string_of(const uint8_t* bytes, size_t size, uint8_t kind);
  void pop();

  // Nothing more is read or written.
  void spoil(std::string why);
  void tell_spoiled();

  // As a callback of its own: its microtasks run after it, and what it throws is an uncaught exception which
  // does not keep the next message from being taken.
  // @return null where it throws.
  napi_value call(const Napi::FunctionReference& function, size_t count, const napi_value* arguments);

  // Bytes that an end may read before it is another's turn. Who sends large messages has fewer of them taken.
  static constexpr int64_t kShare = 64 << 10;

  Napi::Env env_;
  Channel* memory_;
  Cell* out_;  // the memory of the stream that is written
  Duplex duplex_;
  int ear_;
  int bell_;
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
  int64_t share_ = kShare;  // bytes that it may still read in this turn of its
  int quiet_turns_ = 0;
  bool is_rung_ = false;           // its bell has not been emptied since
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

}  // namespace ballermann
