#include "signals.hpp"

#include <uv.h>

#include "uv_handle.hpp"

namespace ballermann {
namespace {

// Owns itself; freed when its handle is closed.
struct Watch {
  uv_signal_t handle;
  Napi::Env env;
  Napi::FunctionReference callback;
  Napi::AsyncContext context;
  napi_async_cleanup_hook_handle hook = nullptr;

  Watch(Napi::Env own, Napi::Function function)
      : env(own), callback(Napi::Persistent(function)), context(own, "ballermann.Signal") {}
};

Watch& watch_of(void* handle) {
  return *static_cast<Watch*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
}

void received(uv_signal_t* handle, int) {
  const Watch& watch = watch_of(handle);
  Napi::HandleScope scope(watch.env);
  napi_value result = nullptr;
  const napi_status status = napi_make_callback(watch.env, watch.context, watch.env.Global(),
                                                watch.callback.Value(), 0, nullptr, &result);
  napi_value thrown = nullptr;
  if (status == napi_pending_exception && napi_get_and_clear_last_exception(watch.env, &thrown) == napi_ok)
    napi_fatal_exception(watch.env, thrown);
}

void closed(uv_handle_t* handle) {
  Watch& watch = watch_of(handle);
  if (watch.hook != nullptr) napi_remove_async_cleanup_hook(watch.hook);  // the environment waits for this
  delete &watch;
}

// As the environment is torn down.
void close(napi_async_cleanup_hook_handle, void* data) {
  Watch& watch = *static_cast<Watch*>(data);
  watch.callback.Reset();
  uv_close(as_handle(&watch.handle), closed);
}

}  // namespace

void on_signal(Napi::Env env, int signal, Napi::Function callback) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) throw Napi::Error::New(env, "no event loop");
  Watch* watch = new Watch(env, callback);
  uv_signal_init(loop, &watch->handle);
  uv_handle_set_data(as_handle(&watch->handle), watch);
  uv_unref(as_handle(&watch->handle));
  if (uv_signal_start(&watch->handle, received, signal) != 0) {
    uv_close(as_handle(&watch->handle), closed);
    throw Napi::Error::New(env, "the signal cannot be listened for");
  }
  napi_add_async_cleanup_hook(env, close, watch, &watch->hook);
}

}  // namespace ballermann
