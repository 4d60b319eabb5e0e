// As much of V8's API as native/segment.cc uses; see napi.h beside it.
#pragma once

#include <cstddef>
#include <memory>

namespace v8 {

class Value {};

template <typename T>
class Local {
 public:
  T* slot = nullptr;
};

class BackingStore {};

class Isolate {
 public:
  static Isolate* GetCurrent() { return nullptr; }
};

class SharedArrayBuffer {
 public:
  static std::unique_ptr<BackingStore> NewBackingStore(void*, size_t, void (*)(void*, size_t, void*), void*) {
    return std::make_unique<BackingStore>();
  }
  static Local<Value> New(Isolate*, const std::shared_ptr<BackingStore>&) { return {}; }
};

}  // namespace v8
