// One end of a channel in shared memory, in the event loop of its process.
#pragma once

#include <napi.h>

namespace ballermann {

// Adds the class `ChannelEnd` and `makeChannel` to the addon's exports; see src/memory/addon.ts for what they
// do.
void define_channel_end(Napi::Env env, Napi::Object exports);

}  // namespace ballermann
