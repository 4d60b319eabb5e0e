// Channels in shared memory, as JavaScript has them.
#pragma once

#include <napi.h>

namespace ballermann {

// Adds the class `ChannelEnd`, `makeChannel` and `catchUp` to the addon's exports; see src/memory/addon.ts
// for what they do.
void define_channels(Napi::Env env, Napi::Object exports);

}  // namespace ballermann
