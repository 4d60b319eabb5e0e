// Messages to a service manager, as sd_notify(3) sends them.
#pragma once

#include <string>

namespace ballermann {

// Sends one datagram to the Unix socket at `address`: a path, or '@' and an abstract name. Never blocks, and
// raises no signal. @return 0, or the negative errno: -EAGAIN where the socket takes no more just now.
int notify(const std::string& address, const std::string& message);

}  // namespace ballermann
