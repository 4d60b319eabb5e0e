// The signals that this process takes whether JavaScript listens for them or not.
#pragma once

#include <napi.h>

namespace ballermann {

// Calls back in a turn of the event loop each time the signal comes, for as long as the environment lives. So
// the signal's default action is never taken, whatever JavaScript does with its own listeners. Does not keep
// the loop alive.
void on_signal(Napi::Env env, int signal, Napi::Function callback);

}  // namespace ballermann
