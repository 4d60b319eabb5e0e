// Anonymous memory that processes share by a descriptor.
#pragma once

#include <napi.h>

#include <cstddef>
#include <string>

namespace ballermann {

// An anonymous, close-on-exec file of that size, all zero, that nobody can resize. Throws an Error that says
// what the system refused.
int make_memory_file(Napi::Env env, const char* name, size_t bytes);

// Of the file behind a descriptor; 0 where it is none.
size_t memory_file_bytes(int fd);

// Maps the beginning of a file that was just made. Throws as that does, with the file closed.
void* map_new_memory_file(Napi::Env env, int fd, size_t bytes);

// @return null where the system refuses.
void* map_memory_file(int fd, size_t bytes);

// An Error of the system's: what was tried, and why it failed.
Napi::Error system_error(Napi::Env env, const char* what);

// An Error with code ERR_PROTOCOL.
Napi::Error protocol_error(Napi::Env env, const std::string& text);

}  // namespace ballermann
