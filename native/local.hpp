// A napi_value is V8's Local itself, as Node makes it: for what Node-API has no call.
#pragma once

#include <napi.h>
#include <v8.h>

#include <cstring>

namespace ballermann {

static_assert(sizeof(v8::Local<v8::Value>) == sizeof(napi_value));

inline v8::Local<v8::Value> to_local(napi_value value) {
  v8::Local<v8::Value> local;
  std::memcpy(static_cast<void*>(&local), &value, sizeof value);
  return local;
}

inline Napi::Value from_local(Napi::Env env, v8::Local<v8::Value> local) {
  napi_value value;
  std::memcpy(&value, static_cast<const void*>(&local), sizeof value);
  return {env, value};
}

}  // namespace ballermann
