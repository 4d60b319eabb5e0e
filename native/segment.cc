#include "segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <v8.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

namespace ballermann {
namespace {

std::mutex mutex;
Mapping mapped;
std::shared_ptr<v8::BackingStore> backing_store;

Napi::Error system_error(Napi::Env env, const char* what) {
  return Napi::Error::New(env, std::string(what) + ": " + std::strerror(errno));
}

Napi::Error protocol_error(Napi::Env env, const std::string& text) {
  Napi::Error error = Napi::Error::New(env, text);
  error.Set("code", Napi::String::New(env, "ERR_PROTOCOL"));
  return error;
}

// An anonymous, close-on-exec file of the segment's size that nobody can resize.
int anonymous_file(Napi::Env env) {
#ifdef __linux__
  const int fd = memfd_create("ballermann", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw system_error(env, "memfd_create");
#else
  const std::string name = "/ballermann." + std::to_string(getpid());
  const int fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0) throw system_error(env, "shm_open");
  shm_unlink(name.c_str());
  fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
  if (ftruncate(fd, sizeof(Segment)) != 0) {
    const Napi::Error error = system_error(env, "ftruncate");
    close(fd);
    throw error;
  }
#ifdef __linux__
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const Napi::Error error = system_error(env, "fcntl(F_ADD_SEALS)");
    close(fd);
    throw error;
  }
#endif
  return fd;
}

void* map(Napi::Env env, int fd) {
  void* memory = mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) throw system_error(env, "mmap");
  return memory;
}

void adopt(void* memory, int fd, uint32_t slot) {
  mapped = {static_cast<Segment*>(memory), fd, slot};
  backing_store = v8::SharedArrayBuffer::NewBackingStore(
      memory, sizeof(Segment), [](void*, size_t, void*) {}, nullptr);
}

std::string describe(const Header& header) {
  return "layout version " + std::to_string(header.version) + " of " + std::to_string(header.total_bytes) +
         " bytes";
}

}  // namespace

const Mapping& mapping() { return mapped; }

void create_segment(Napi::Env env) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (mapped.base != nullptr) {
    // Some replica may have written over it, and no later one would attach then.
    mapped.base->header = this_layout();
    return;
  }
  const int fd = anonymous_file(env);
  void* memory = nullptr;
  try {
    memory = map(env, fd);
  } catch (...) {
    close(fd);
    throw;
  }
  static_cast<Segment*>(memory)->header = this_layout();  // the rest is zero, as the system gives it
  adopt(memory, fd, 0);
}

void attach_segment(Napi::Env env, int fd, uint32_t slot) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (mapped.base != nullptr) throw protocol_error(env, "this process is attached to a segment already");
  if (slot >= kSlotCount)
    throw protocol_error(env, "slot " + std::to_string(slot) + " is not in the segment");
  const Header ours = this_layout();
  Header theirs{};
  struct stat file {};
  const bool readable =
      fstat(fd, &file) == 0 && pread(fd, &theirs, sizeof theirs, 0) == static_cast<ssize_t>(sizeof theirs);
  if (!readable || theirs.magic != kMagic) {
    throw protocol_error(env, "file descriptor " + std::to_string(fd) + " is not a ballermann segment");
  }
  if (!compatible(theirs) || static_cast<uint64_t>(file.st_size) < sizeof(Segment)) {
    throw protocol_error(env, "the primary's segment has " + describe(theirs) + ", this process needs " +
                                  describe(ours) + ": install the same ballermann in both");
  }
  void* memory = map(env, fd);
  close(fd);  // the mapping keeps the memory; no grandchild can inherit the descriptor
  adopt(memory, -1, slot);
}

Napi::Value shared_array_buffer(Napi::Env env) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!backing_store) return env.Undefined();
  const v8::Local<v8::Value> buffer = v8::SharedArrayBuffer::New(v8::Isolate::GetCurrent(), backing_store);
  // Node-API had no call for this before Node 24.16: a napi_value is the Local itself, as Node makes it.
  static_assert(sizeof(buffer) == sizeof(napi_value));
  napi_value value;
  std::memcpy(&value, &buffer, sizeof value);
  return {env, value};
}

}  // namespace ballermann
