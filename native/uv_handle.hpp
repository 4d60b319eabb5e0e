// Every libuv handle begins as a uv_handle_t; C++ has to be told.
#pragma once

#include <uv.h>

namespace ballermann {

template <typename Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace ballermann
