#include "loop_clock.hpp"

#include <uv.h>
#include <v8.h>

#include "uv_handle.hpp"

namespace ballermann {
namespace {

// libuv runs prepare handles right before it polls and check handles right after. But it runs the callbacks
// of sockets and pipes inside the poll, as soon as the system call has returned: all of an HTTP or IPC
// handler lies between prepare and check. So what ends a poll is the first JavaScript that is entered in it;
// a check without any ends it too.
struct LoopClock {
  uv_prepare_t prepare;
  uv_check_t check;
  Slot& slot;
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  napi_async_cleanup_hook_handle hook = nullptr;
  bool polls = false;
  uint64_t polls_since = 0;
  uint64_t idle = 0;  // ns, of the polls that have ended
  Turn blocked;
  int open_handles = 2;

  explicit LoopClock(Slot& own) : slot(own) {}
};

// The one of this process: only the main thread of a replica has one. V8 hands its callback no data.
LoopClock* own_clock = nullptr;

LoopClock& clock_of(void* handle) {
  return *static_cast<LoopClock*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
}

// Runs in every turn, so it holds back nothing. In a turn that has work the two stores of each side go to a
// line that this process has anyway.
void poll_begins(LoopClock& clock) {
  clock.polls = true;
  clock.polls_since = uv_hrtime();
  const uint64_t busy_since = clock.slot.loop_clock.load(std::memory_order_relaxed);
  if (busy_since != 0 && clock.polls_since - busy_since >= blocked_after(clock.slot))
    clock.blocked = {busy_since, clock.polls_since};
  clock.slot.loop_idle.store(clock.idle - clock.polls_since, std::memory_order_relaxed);
  clock.slot.loop_clock.store(0, std::memory_order_relaxed);
}

void poll_ends(LoopClock& clock) {
  if (!clock.polls) return;
  const uint64_t now = uv_hrtime();
  clock.polls = false;
  clock.idle += now - clock.polls_since;
  clock.slot.loop_idle.store(clock.idle, std::memory_order_relaxed);
  clock.slot.loop_clock.store(now, std::memory_order_relaxed);
}

void before_poll(uv_prepare_t* handle) { poll_begins(clock_of(handle)); }

void after_poll(uv_check_t* handle) { poll_ends(clock_of(handle)); }

// As V8 enters a script or a function from outside, at each callback of the loop. One test where no poll
// ends.
void before_javascript(v8::Isolate*) { poll_ends(*own_clock); }

void closed(uv_handle_t* handle) {
  LoopClock& clock = clock_of(handle);
  if (--clock.open_handles > 0) return;
  napi_remove_async_cleanup_hook(clock.hook);  // the environment waits for this
  delete &clock;
}

// As the environment is torn down.
void close(napi_async_cleanup_hook_handle, void* data) {
  LoopClock& clock = *static_cast<LoopClock*>(data);
  clock.isolate->RemoveBeforeCallEnteredCallback(before_javascript);
  own_clock = nullptr;
  uv_close(as_handle(&clock.prepare), closed);
  uv_close(as_handle(&clock.check), closed);
}

}  // namespace

Turn last_blocked_turn() { return own_clock == nullptr ? Turn{} : own_clock->blocked; }

void start_loop_clock(Napi::Env env, Slot& slot) {
  if (own_clock != nullptr) throw Napi::Error::New(env, "this process has a loop clock");
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) throw Napi::Error::New(env, "no event loop");
  LoopClock* clock = new LoopClock(slot);
  own_clock = clock;
  uv_prepare_init(loop, &clock->prepare);
  uv_check_init(loop, &clock->check);
  for (uv_handle_t* handle : {as_handle(&clock->prepare), as_handle(&clock->check)}) {
    uv_handle_set_data(handle, clock);
    uv_unref(handle);
  }
  slot.loop_clock.store(uv_hrtime(), std::memory_order_relaxed);
  // Both go before those that were started earlier: JavaScript of another's prepare handle that comes later
  // would end the poll too early. Node has none.
  uv_prepare_start(&clock->prepare, before_poll);
  uv_check_start(&clock->check, after_poll);
  clock->isolate->AddBeforeCallEnteredCallback(before_javascript);
  napi_add_async_cleanup_hook(env, close, clock, &clock->hook);
}

}  // namespace ballermann
