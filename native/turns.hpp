// The turns that the ends of channels take in one event loop, so that none waits for all that another one
// has, and that sockets and timers have theirs.
#pragma once

#include <napi.h>
#include <uv.h>

#include <array>
#include <list>

#include "lingering.hpp"

namespace ballermann {

// What is looked at in each turn while it may have something to do. What libuv's callbacks reach is noexcept:
// nothing can be thrown through C.
class TurnTaker {
 public:
  // Before the poll. Says that it sleeps. @return whether there is nothing to do until it is rung.
  virtual bool sleep() noexcept = 0;
  // After the poll. Goes on. @return false where it has had nothing to do for long: it is looked at no more.
  virtual bool wake() noexcept = 0;
  // Does one thing, where it is its turn. @return false where there is none to do.
  virtual bool work() noexcept = 0;
  // Whether something has come that it would take.
  virtual bool has_come() noexcept = 0;
  // Takes what has come by now, however long that takes.
  virtual void catch_up() = 0;
  // Gives memory back that is not in use. @return false where it has been used since the last time.
  virtual bool tidy() noexcept = 0;

 protected:
  ~TurnTaker() = default;
};

// One for each environment, and it lasts as long. Keeps no event loop alive.
class Turns {
 public:
  static Turns& of(Napi::Env env) {
    if (own_ == nullptr) own_ = new Turns(env);
    return *own_;
  }

  uv_loop_t* loop() const { return loop_; }

  // From the next turn on it is looked at.
  void add(TurnTaker* taker) { awake_.push_back(taker); }

  // It has written a message. @param is_untidy it uses memory since then: it is asked to tidy up later.
  void wrote(TurnTaker* taker, bool is_untidy);

  // What is written here is mostly answered at once, by another process: the thread may linger for it.
  void expect_answers() { expects_answers_ = uv_available_parallelism() > 1; }

  // When what is taken now was found, as JavaScript reads it: one double, ms of uv_hrtime. For a message of
  // many, a look at the clock from there would cost more than all else that is counted of it.
  Napi::Value clock() { return clock_.Value(); }

  // All of this thread take what has come by now.
  static void catch_up();

  // What is taken from here on was found now.
  static void found_now();

  // It is looked at no more.
  static void drop(TurnTaker* taker);

 private:
  explicit Turns(Napi::Env env);

  static Turns& of_handle(void* handle) {
    return *static_cast<Turns*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
  }

  static constexpr int kHandles = 4;
  std::array<uv_handle_t*, kHandles> handles();

  static void at_teardown(napi_async_cleanup_hook_handle, void* data);
  static void closed(uv_handle_t* handle);

  uint64_t look_at_clock() noexcept;
  void before_poll() noexcept;
  bool lingers() noexcept;
  bool has_come() noexcept;
  void take(uint64_t end) noexcept;
  void after_poll() noexcept;
  void tidy() noexcept;
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
  std::list<TurnTaker*> awake_;
  std::list<TurnTaker*> untidy_;
  Napi::Reference<Napi::Float64Array> clock_;
  double* found_at_;
  Lingering lingering_;
  bool expects_answers_ = false;
  int taken_ = 0;    // messages, since this thread has last slept or lingered
  int written_ = 0;  // the same
};

}  // namespace ballermann
