// Accepts connections of a listening socket that other replicas accept from as well, each in its turn.
#pragma once

#include <napi.h>

namespace ballermann {

// Adds the class `Acceptor` to the addon's exports; see src/memory/addon.ts for what it does.
void define_acceptor(Napi::Env env, Napi::Object exports);

// listen(2): 0, or the negative errno.
int listen_on(int fd, int backlog);

// Another descriptor of the same socket, which no process that is started inherits; or the negative errno.
int duplicate(int fd);

// Whether the other side of a connection has closed it, or the half that it writes, though nobody has read
// that yet.
bool has_peer_closed(int fd);

}  // namespace ballermann
