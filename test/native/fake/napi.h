// As much of node-addon-api as native/segment.cc uses, without Node: so that the code that attaches to a
// segment can be fuzzed as it is.
#pragma once

#include <string>

using napi_value = struct napi_value__*;

namespace Napi {

class Value;

class Env {
 public:
  Value Undefined() const;
};

class Value {
 public:
  Value() = default;
  Value(Env, napi_value) {}
};

inline Value Env::Undefined() const { return {}; }

class String : public Value {
 public:
  static String New(Env, const std::string&) { return {}; }
};

class Error : public Value {
 public:
  static Error New(Env, const std::string&) { return {}; }
  void Set(const char*, const Value&) {}
};

}  // namespace Napi
