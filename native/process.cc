#include "process.hpp"

#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>

#include <csignal>
#endif

namespace ballermann {

bool die_with_primary(int primary_pid) {
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  return getppid() == primary_pid;  // after the prctl: a death before it sends no signal
}

bool reap(int pid) {
  int status;
  return waitpid(pid, &status, WNOHANG) == pid;
}

}  // namespace ballermann
