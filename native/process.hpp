// What a replica asks of the operating system about its primary, and a primary about its children.
#pragma once

#include <napi.h>

namespace ballermann {

// A lifeline is a pipe through which nothing is ever sent. The primary makes one for each replica, which
// inherits the end that reads; the end that writes is the primary's alone and closes with it, however it
// dies.
struct Lifeline {
  int read;
  int write;
};

// Both ends close on exec. Throws an Error with the system's code.
Lifeline make_lifeline(Napi::Env env);

// From now on the end of the lifeline ends this process with SIGKILL, whatever it is doing then and whoever
// it runs as. Takes the descriptor over. Throws an Error where it is no pipe, or no thread can be made.
void die_with_lifeline(Napi::Env env, int fd);

// Puts /dev/null in the place of each of stdin, stdout and stderr whose terminal has gone, which is an error
// to read, to write and, for Node 20, to exit with.
void leave_gone_terminal();

// Takes a dead child away. False where that child lives, or is none.
bool reap(int pid);

}  // namespace ballermann
