// What the control socket of a primary asks of the operating system: a lock that ends with its process, and
// who is at the other end of a connection.
#pragma once

#include <napi.h>

namespace ballermann {

// Takes the lock of an open file, which lasts until its last descriptor is closed. False where somebody else
// has it. Throws an Error with the system's code.
bool lock_file(Napi::Env env, int fd);

// The user of the process that connected. Throws an Error with the system's code.
uint32_t peer_user(Napi::Env env, int fd);

}  // namespace ballermann
