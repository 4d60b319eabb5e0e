// The process's one mapping of the shared segment, and its view as a SharedArrayBuffer.
#pragma once

#include <napi.h>

#include "layout.hpp"

namespace ballermann {

// What this process has mapped; `base` is null before create or attach. Once mapped, it stays for the life of
// the process: SharedArrayBuffers of any thread may point into it.
struct Mapping {
  Segment* base = nullptr;
  int fd = -1;        // the primary's, inherited by each replica; -1 in a replica
  uint32_t slot = 0;  // the slot of this process
};

const Mapping& mapping();

// Primary: creates, seals and maps the segment. Throws an Error that says what the system refused.
void create_segment(Napi::Env env);

// Replica: maps the segment behind `fd`, checks its header, closes `fd`. Throws an Error with code
// ERR_PROTOCOL that names both layouts where they differ; nothing is mapped then.
void attach_segment(Napi::Env env, int fd, uint32_t slot);

// Primary: a slot, or a listener, of its segment that nobody has; kSlotCount, or kListenerCount, where all
// are taken. Kept here since a process has one addon for its one segment, however often the modules above it
// are loaded.
uint32_t take_slot();
void give_slot_back(uint32_t slot);
uint32_t take_listener();
void give_listener_back(uint32_t listener);

// A SharedArrayBuffer over the mapping, for the calling thread's isolate.
Napi::Value shared_array_buffer(Napi::Env env);

}  // namespace ballermann
