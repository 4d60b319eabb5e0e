// What a replica asks of the operating system about its primary, and a primary about its children.
#pragma once

namespace ballermann {

// Has the system kill this process with SIGKILL as soon as the primary is gone, whatever this process is
// doing then. False where the primary is gone already. Linux only; elsewhere it just tells whether it still
// lives.
bool die_with_primary(int primary_pid);

// Takes a dead child away. False where that child lives, or is none.
bool reap(int pid);

}  // namespace ballermann
