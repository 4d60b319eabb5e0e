// A diagnostic report of a replica whose JavaScript never ends. Node's own signal for reports is handled in
// the event loop, which does not turn then.
#pragma once

#include <napi.h>

#include <string>

namespace ballermann {

// From now on until the environment ends, SIGURG makes the running JavaScript pause for a report in the file
// `path`, which is there as a whole or not at all. (SIGURG does nothing where nobody handles it, and hardly
// anybody does.) Throws std::system_error where the system refuses, a thread included.
void report_on_signal(Napi::Env env, const std::string& path);

}  // namespace ballermann
