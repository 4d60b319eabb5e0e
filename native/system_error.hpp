// An error of the operating system, as JavaScript gets it.
#pragma once

#include <napi.h>
#include <uv.h>

#include <string>

namespace ballermann {

// @param error an errno, or libuv's number for it. @return an Error that has the system's code.
inline Napi::Error system_error(Napi::Env env, const char* what, int error) {
  const int number = uv_translate_sys_error(error);
  const Napi::Error failure = Napi::Error::New(env, std::string(what) + ": " + uv_strerror(number));
  failure.Set("code", Napi::String::New(env, uv_err_name(number)));
  return failure;
}

}  // namespace ballermann
