#include "segment.hpp"

#include <sys/mman.h>
#include <unistd.h>
#include <v8.h>

#include <bitset>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "local.hpp"
#include "memory_file.hpp"

namespace ballermann {
namespace {

std::mutex mutex;
Mapping mapped;
std::shared_ptr<v8::BackingStore> backing_store;
std::bitset<kSlotCount> taken_slots{1};  // slot 0 is the primary's
std::bitset<kListenerCount> taken_listeners;

// @return the first that is free, taken now; the size where none is.
template <size_t Size>
uint32_t take_first(std::bitset<Size>& taken) {
  const std::lock_guard<std::mutex> lock(mutex);
  uint32_t index = 0;
  while (index < Size && taken[index]) ++index;
  if (index < Size) taken.set(index);
  return index;
}

template <size_t Size>
void give_back(std::bitset<Size>& taken, uint32_t index) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (index < Size) taken.reset(index);
}

// By mapping it: macOS reads no shared memory by its descriptor.
// @return a header that no segment has, where the file is none.
Header header_of(int fd, size_t file_bytes) {
  Header header{};
  if (file_bytes < sizeof header) return header;
  void* memory = map_memory_file(fd, sizeof header);
  if (memory == nullptr) return header;
  std::memcpy(&header, memory, sizeof header);
  munmap(memory, sizeof header);
  return header;
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
  const int fd = make_memory_file(env, "ballermann", sizeof(Segment));
  void* memory = map_new_memory_file(env, fd, sizeof(Segment));
  static_cast<Segment*>(memory)->header = this_layout();  // the rest is zero, as the system gives it
  adopt(memory, fd, 0);
}

void attach_segment(Napi::Env env, int fd, uint32_t slot) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (mapped.base != nullptr) throw protocol_error(env, "this process is attached to a segment already");
  if (slot >= kSlotCount)
    throw protocol_error(env, "slot " + std::to_string(slot) + " is not in the segment");
  const Header ours = this_layout();
  const size_t file_bytes = memory_file_bytes(fd);
  const Header theirs = header_of(fd, file_bytes);
  if (theirs.magic != kMagic) {
    throw protocol_error(env, "file descriptor " + std::to_string(fd) + " is not a ballermann segment");
  }
  if (!compatible(theirs) || file_bytes < sizeof(Segment)) {
    throw protocol_error(env, "the primary's segment has " + describe(theirs) + ", this process needs " +
                                  describe(ours) + ": install the same ballermann in both");
  }
  void* memory = map_memory_file(fd, sizeof(Segment));
  if (memory == nullptr) throw system_error(env, "mmap");
  close(fd);  // the mapping keeps the memory; no grandchild can inherit the descriptor
  adopt(memory, -1, slot);
}

uint32_t take_slot() { return take_first(taken_slots); }

void give_slot_back(uint32_t slot) { give_back(taken_slots, slot); }

uint32_t take_listener() { return take_first(taken_listeners); }

void give_listener_back(uint32_t listener) { give_back(taken_listeners, listener); }

Napi::Value shared_array_buffer(Napi::Env env) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!backing_store) return env.Undefined();
  // Node-API had no call for this before Node 24.16.
  return from_local(env, v8::SharedArrayBuffer::New(v8::Isolate::GetCurrent(), backing_store));
}

}  // namespace ballermann
