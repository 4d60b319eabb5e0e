#include "values.hpp"

#include <node_buffer.h>
#include <v8.h>

#include <array>
#include <atomic>
#include <cstring>

#include "local.hpp"

namespace ballermann {
namespace {

// From so many bytes on a view stays in the memory that it came in. A smaller one would keep all of that.
constexpr size_t kShared = 64 * 1024;

// Bytes below which a serialized value is a string: V8 makes and frees one much faster than a Buffer.
constexpr size_t kText = 4 * 1024;

// What a value is first given to be written to.
constexpr size_t kFirst = 1024;

// What lies over an ArrayBuffer. V8 would write all of that buffer, and know no Buffer.
enum class View : uint32_t {
  kInt8,
  kUint8,
  kUint8Clamped,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kFloat32,
  kFloat64,
  kBigInt64,
  kBigUint64,
  kData,
  kBuffer,
  kFloat16,
  kCount,
};

constexpr std::array<uint8_t, static_cast<size_t>(View::kCount)> kElementBytes = {1, 1, 1, 2, 2, 4, 4,
                                                                                  4, 8, 8, 8, 1, 1, 2};

bool is_buffer(Napi::Env env, v8::Isolate* isolate, v8::Local<v8::Object> view) {
  v8::Local<v8::Object> buffer;
  napi_value theirs = nullptr;
  napi_value ours = nullptr;
  bool same = false;
  return node::Buffer::New(isolate, 0).ToLocal(&buffer) &&
         napi_get_prototype(env, from_local(env, view), &theirs) == napi_ok &&
         napi_get_prototype(env, from_local(env, buffer), &ours) == napi_ok &&
         napi_strict_equals(env, theirs, ours, &same) == napi_ok && same;
}

// Whether this process has Float16Array. Some versions of V8 know it behind a flag alone, and abort without
// the flag when one is to be made, or an object is asked whether it is one.
std::atomic<bool> has_float16 = false;

// Asks by a script, and at the start, since none can run while V8 reads. The global may be somebody's
// replacement: the getter of the name is V8's own.
void look_for_float16(Napi::Env env) {
  const char* script = R"(
    typeof Float16Array === 'function' &&
      Reflect.get(Object.getPrototypeOf(Int8Array.prototype), Symbol.toStringTag, new Float16Array(0)) === 'Float16Array'
  )";
  napi_value source = nullptr;
  napi_value answer = nullptr;
  bool has = false;
  if (napi_create_string_utf8(env, script, NAPI_AUTO_LENGTH, &source) != napi_ok ||
      napi_run_script(env, source, &answer) != napi_ok || napi_get_value_bool(env, answer, &has) != napi_ok)
    env.GetAndClearPendingException();
  has_float16 = has;
}

View view_of(Napi::Env env, v8::Isolate* isolate, v8::Local<v8::Object> view) {
  if (view->IsUint8Array()) return is_buffer(env, isolate, view) ? View::kBuffer : View::kUint8;
  if (view->IsInt8Array()) return View::kInt8;
  if (view->IsUint8ClampedArray()) return View::kUint8Clamped;
  if (view->IsInt16Array()) return View::kInt16;
  if (view->IsUint16Array()) return View::kUint16;
  if (view->IsInt32Array()) return View::kInt32;
  if (view->IsUint32Array()) return View::kUint32;
  if (view->IsFloat32Array()) return View::kFloat32;
  if (view->IsFloat64Array()) return View::kFloat64;
  if (view->IsBigInt64Array()) return View::kBigInt64;
  if (view->IsBigUint64Array()) return View::kBigUint64;
  if (view->IsDataView()) return View::kData;
#if V8_MAJOR_VERSION >= 12
  if (has_float16 && view->IsFloat16Array()) return View::kFloat16;
#endif
  return View::kCount;
}

v8::MaybeLocal<v8::Object> make_view(v8::Isolate* isolate, View kind, v8::Local<v8::ArrayBuffer> buffer,
                                     size_t offset, size_t bytes) {
  const size_t length = bytes / kElementBytes[static_cast<size_t>(kind)];
  switch (kind) {
    case View::kInt8:
      return v8::Int8Array::New(buffer, offset, length);
    case View::kUint8:
      return v8::Uint8Array::New(buffer, offset, length);
    case View::kUint8Clamped:
      return v8::Uint8ClampedArray::New(buffer, offset, length);
    case View::kInt16:
      return v8::Int16Array::New(buffer, offset, length);
    case View::kUint16:
      return v8::Uint16Array::New(buffer, offset, length);
    case View::kInt32:
      return v8::Int32Array::New(buffer, offset, length);
    case View::kUint32:
      return v8::Uint32Array::New(buffer, offset, length);
    case View::kFloat32:
      return v8::Float32Array::New(buffer, offset, length);
    case View::kFloat64:
      return v8::Float64Array::New(buffer, offset, length);
    case View::kBigInt64:
      return v8::BigInt64Array::New(buffer, offset, length);
    case View::kBigUint64:
      return v8::BigUint64Array::New(buffer, offset, length);
    case View::kData:
      return v8::DataView::New(buffer, offset, length);
    case View::kBuffer: {
      v8::Local<v8::Uint8Array> made;
      if (!node::Buffer::New(isolate, buffer, offset, length).ToLocal(&made)) return {};
      return made;
    }
    case View::kFloat16:
#if V8_MAJOR_VERSION >= 12
      return v8::Float16Array::New(buffer, offset, length);
#endif
    case View::kCount:
      break;
  }
  return {};
}

v8::Local<v8::String> text(v8::Isolate* isolate, const char* literal) {
  return v8::String::NewFromUtf8(isolate, literal).ToLocalChecked();
}

class Writing final : public v8::ValueSerializer::Delegate {
 public:
  Writing(Napi::Env env, v8::Isolate* isolate, Place& place) : env_(env), isolate_(isolate), place_(place) {}

  v8::ValueSerializer* serializer = nullptr;

  void ThrowDataCloneError(v8::Local<v8::String> message) override {
    isolate_->ThrowException(v8::Exception::Error(message));
  }

  v8::Maybe<bool> WriteHostObject(v8::Isolate* isolate, v8::Local<v8::Object> object) override {
    const View kind = object->IsArrayBufferView() ? view_of(env_, isolate, object) : View::kCount;
    if (kind == View::kCount) {
      ThrowDataCloneError(text(isolate, "an object of the system's own could not be cloned"));
      return v8::Nothing<bool>();
    }
    const auto view = object.As<v8::ArrayBufferView>();
    const size_t bytes = view->ByteLength();
    if (bytes > UINT32_MAX) {
      ThrowDataCloneError(text(isolate, "a view of more than 4 GiB could not be cloned"));
      return v8::Nothing<bool>();
    }
    serializer->WriteUint32(static_cast<uint32_t>(kind));
    serializer->WriteUint32(static_cast<uint32_t>(bytes));
    if (view->HasBuffer()) {
      const auto* memory = static_cast<const uint8_t*>(view->Buffer()->Data());
      serializer->WriteRawBytes(memory + view->ByteOffset(), bytes);
    } else {  // a small one, which lies among the objects
      const Bytes copy(static_cast<uint8_t*>(std::malloc(bytes)));
      if (copy != nullptr) serializer->WriteRawBytes(copy.get(), view->CopyContents(copy.get(), bytes));
    }
    return v8::Just(true);
  }

  void* ReallocateBufferMemory(void*, size_t bytes, size_t* capacity) override {
    return place_.grow(bytes, *capacity);
  }

  void FreeBufferMemory(void*) override {}  // the place does

 private:
  Napi::Env env_;
  v8::Isolate* isolate_;
  Place& place_;
};

// The memory in which a value lies that is being read.
class Source {
 public:
  virtual const uint8_t* bytes() const = 0;
  virtual size_t size() const = 0;
  // What it is to be shared as; `bytes()` lie at `offset` of it.
  virtual v8::Local<v8::ArrayBuffer> share(v8::Isolate* isolate, size_t& offset) = 0;

 protected:
  ~Source() = default;
};

class Reading final : public v8::ValueDeserializer::Delegate {
 public:
  explicit Reading(Source& source) : source_(source) {}

  v8::ValueDeserializer* deserializer = nullptr;

  v8::MaybeLocal<v8::Object> ReadHostObject(v8::Isolate* isolate) override {
    uint32_t kind = 0;
    uint32_t length = 0;
    const void* data = nullptr;
    if (!deserializer->ReadUint32(&kind) || !deserializer->ReadUint32(&length) ||
        kind >= kElementBytes.size() || length % kElementBytes[kind] != 0 ||
        (static_cast<View>(kind) == View::kFloat16 && !has_float16) ||
        !deserializer->ReadRawBytes(length, &data)) {
      isolate->ThrowException(v8::Exception::Error(text(isolate, "bytes that are no view")));
      return {};
    }
    const bool is_aligned = reinterpret_cast<uintptr_t>(data) % kElementBytes[kind] == 0;
    if (length >= kShared && is_aligned) {
      size_t offset = 0;
      const auto place = static_cast<size_t>(static_cast<const uint8_t*>(data) - source_.bytes());
      const v8::Local<v8::ArrayBuffer> shared = source_.share(isolate, offset);
      return make_view(isolate, static_cast<View>(kind), shared, offset + place, length);
    }
    const v8::Local<v8::ArrayBuffer> own = v8::ArrayBuffer::New(isolate, length);
    if (length > 0) std::memcpy(own->Data(), data, length);
    return make_view(isolate, static_cast<View>(kind), own, 0, length);
  }

 private:
  Source& source_;
};

// Memory that becomes an ArrayBuffer's when it is shared, and is freed when it is not.
class Owned final : public Source {
 public:
  Owned(Bytes bytes, size_t size) : own_(std::move(bytes)), bytes_(own_.get()), size_(size) {}

  const uint8_t* bytes() const override { return bytes_; }
  size_t size() const override { return size_; }

  v8::Local<v8::ArrayBuffer> share(v8::Isolate* isolate, size_t& offset) override {
    offset = 0;
    if (own_ != nullptr) {
      auto store = v8::ArrayBuffer::NewBackingStore(
          own_.release(), size_, [](void* data, size_t, void*) { std::free(data); }, nullptr);
      shared_ = v8::ArrayBuffer::New(isolate, std::move(store));
    }
    return shared_;
  }

 private:
  Bytes own_;
  const uint8_t* bytes_;
  size_t size_;
  v8::Local<v8::ArrayBuffer> shared_;
};

// Memory of a Uint8Array.
class Viewed final : public Source {
 public:
  explicit Viewed(v8::Local<v8::Uint8Array> view) : buffer_(view->Buffer()), offset_(view->ByteOffset()) {
    bytes_ = static_cast<const uint8_t*>(buffer_->Data()) + offset_;
    size_ = view->ByteLength();
  }

  const uint8_t* bytes() const override { return bytes_; }
  size_t size() const override { return size_; }

  v8::Local<v8::ArrayBuffer> share(v8::Isolate*, size_t& offset) override {
    offset = offset_;
    return buffer_;
  }

 private:
  v8::Local<v8::ArrayBuffer> buffer_;
  size_t offset_;
  const uint8_t* bytes_;
  size_t size_;
};

Napi::Error thrown(Napi::Env env, const v8::TryCatch& caught, const char* otherwise) {
  if (!caught.HasCaught()) return Napi::Error::New(env, otherwise);
  return {env, from_local(env, caught.Exception())};
}

Napi::Value read(Napi::Env env, Source& source) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  const v8::Local<v8::Context> context = isolate->GetCurrentContext();
  v8::TryCatch caught(isolate);
  Reading reading(source);
  v8::ValueDeserializer deserializer(isolate, source.bytes(), source.size(), &reading);
  reading.deserializer = &deserializer;
  v8::Local<v8::Value> value;
  const bool is_read =
      deserializer.ReadHeader(context).FromMaybe(false) && deserializer.ReadValue(context).ToLocal(&value);
  if (!is_read) throw thrown(env, caught, "bytes that are no serialized value");
  return from_local(env, value);
}

class HeapPlace final : public Place {
 public:
  Bytes bytes;

  uint8_t* grow(size_t size, size_t& capacity) override {
    if (size < kFirst) size = kFirst;
    if (!resize(bytes, size)) return nullptr;
    capacity = size;
    return bytes.get();
  }
};

Napi::Value Serialize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  HeapPlace place;
  const size_t size = write_value(env, info[0], place);
  if (size < kText) {
    napi_value string = nullptr;
    if (napi_create_string_latin1(env, reinterpret_cast<const char*>(place.bytes.get()), size, &string) !=
        napi_ok)
      throw Napi::Error::New(env, "no string can be made");
    return {env, string};
  }
  size_t capacity = 0;
  place.grow(size, capacity);
  v8::Local<v8::Object> buffer;
  char* memory = reinterpret_cast<char*>(place.bytes.release());  // Node frees it
  if (!node::Buffer::New(v8::Isolate::GetCurrent(), memory, size).ToLocal(&buffer))
    throw Napi::Error::New(env, "no Buffer can be made");
  return from_local(env, buffer);
}

Napi::Value Deserialize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) {
    const v8::Local<v8::Value> bytes = to_local(info[0]);
    if (!bytes->IsUint8Array()) throw Napi::TypeError::New(env, "a value that is neither a string nor bytes");
    Viewed source(bytes.As<v8::Uint8Array>());
    return read(env, source);
  }
  size_t size = 0;
  napi_get_value_string_latin1(env, info[0], nullptr, 0, &size);
  Bytes bytes(static_cast<uint8_t*>(std::malloc(size + 1)));
  if (bytes == nullptr) throw Napi::Error::New(env, "no memory is left");
  napi_get_value_string_latin1(env, info[0], reinterpret_cast<char*>(bytes.get()), size + 1, &size);
  return read_value(env, std::move(bytes), size);
}

}  // namespace

size_t write_value(Napi::Env env, napi_value value, Place& place) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  v8::TryCatch caught(isolate);
  Writing writing(env, isolate, place);
  v8::ValueSerializer serializer(isolate, &writing);
  writing.serializer = &serializer;
  serializer.SetTreatArrayBufferViewsAsHostObjects(true);
  serializer.WriteHeader();
  if (!serializer.WriteValue(isolate->GetCurrentContext(), to_local(value)).FromMaybe(false))
    throw thrown(env, caught, "a value that cannot be serialized");
  return serializer.Release().second;
}

Napi::Value read_value(Napi::Env env, Bytes bytes, size_t size) {
  Owned source(std::move(bytes), size);
  return read(env, source);
}

void define_values(Napi::Env env, Napi::Object exports) {
  look_for_float16(env);
  exports.Set("serialize", Napi::Function::New<Serialize>(env, "serialize"));
  exports.Set("deserialize", Napi::Function::New<Deserialize>(env, "deserialize"));
}

}  // namespace ballermann
