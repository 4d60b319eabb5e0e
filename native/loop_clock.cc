#include "loop_clock.hpp"

#include <uv.h>

namespace ballermann {
namespace {

// libuv runs prepare handles right before it polls and check handles right after. Time that ends in a check
// without a prepare before it cannot be: both run in each turn.
struct LoopClock {
  uv_prepare_t prepare;
  uv_check_t check;
  Slot& slot;
  napi_async_cleanup_hook_handle hook = nullptr;
  uint64_t polls_since = 0;
  int open_handles = 2;

  explicit LoopClock(Slot& own) : slot(own) {}
};

LoopClock& clock_of(void* handle) {
  return *static_cast<LoopClock*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
}

void before_poll(uv_prepare_t* handle) {
  LoopClock& clock = clock_of(handle);
  clock.polls_since = uv_hrtime();
  clock.slot.loop_clock.store(0, std::memory_order_relaxed);
}

void after_poll(uv_check_t* handle) {
  LoopClock& clock = clock_of(handle);
  const uint64_t now = uv_hrtime();
  clock.slot.loop_idle.store(clock.slot.loop_idle.load(std::memory_order_relaxed) + (now - clock.polls_since),
                             std::memory_order_relaxed);
  clock.slot.loop_clock.store(now, std::memory_order_relaxed);
}

void closed(uv_handle_t* handle) {
  LoopClock& clock = clock_of(handle);
  if (--clock.open_handles > 0) return;
  napi_remove_async_cleanup_hook(clock.hook);  // the environment waits for this
  delete &clock;
}

template <typename Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

// As the environment is torn down.
void close(napi_async_cleanup_hook_handle, void* data) {
  LoopClock& clock = *static_cast<LoopClock*>(data);
  uv_close(as_handle(&clock.prepare), closed);
  uv_close(as_handle(&clock.check), closed);
}

}  // namespace

void start_loop_clock(Napi::Env env, Slot& slot) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) throw Napi::Error::New(env, "no event loop");
  LoopClock* clock = new LoopClock(slot);
  uv_prepare_init(loop, &clock->prepare);
  uv_check_init(loop, &clock->check);
  for (uv_handle_t* handle : {as_handle(&clock->prepare), as_handle(&clock->check)}) {
    uv_handle_set_data(handle, clock);
    uv_unref(handle);
  }
  slot.loop_clock.store(uv_hrtime(), std::memory_order_relaxed);
  uv_prepare_start(&clock->prepare, before_poll);
  uv_check_start(&clock->check, after_poll);
  napi_add_async_cleanup_hook(env, close, clock, &clock->hook);
}

}  // namespace ballermann
