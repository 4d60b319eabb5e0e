// Values of JavaScript as bytes: V8's own format, in which node:v8 and structuredClone() write them too.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace ballermann {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Memory of malloc's.
using Bytes = std::unique_ptr<uint8_t, Free>;

// Gives it another size, with what it holds. @return false where there is no memory: it stays as it is.
inline bool resize(Bytes& bytes, size_t size) {
  void* resized = std::realloc(bytes.get(), size);
  if (resized == nullptr) return false;
  static_cast<void>(bytes.release());
  bytes.reset(static_cast<uint8_t*>(resized));
  return true;
}

// Where a value is written to.
class Place {
 public:
  // Has room for so many bytes from now on, with what was written.
  // @return where they lie, with how many there may be; null: nowhere.
  virtual uint8_t* grow(size_t bytes, size_t& capacity) = 0;

 protected:
  ~Place() = default;
};

// @return how many bytes of `place` it takes. Throws what V8 throws where the value cannot be written.
size_t write_value(Napi::Env env, napi_value value, Place& place);

// @param bytes nobody else writes to them. Views over 64 KiB of them stay there; others are copied out.
// Throws an Error where they are no value.
Napi::Value read_value(Napi::Env env, Bytes bytes, size_t size);

// Adds `serialize` and `deserialize` to the addon's exports; see src/memory/addon.ts.
void define_values(Napi::Env env, Napi::Object exports);

}  // namespace ballermann
