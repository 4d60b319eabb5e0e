#include "process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>

#include "old_glibc.hpp"
#include "system_error.hpp"

namespace ballermann {
namespace {

// What the thread below needs: the system's smallest stack would not hold the thread-local data of all that
// is loaded.
constexpr size_t kStackBytes = 128 * 1024;

// Has the kernel send SIGKILL at the primary's death. It does so to a stopped process too, in which no thread
// runs. Where it refuses, the lifeline is left.
void ask_kernel() {
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

// Without an event loop and without V8, so that nothing that JavaScript does can keep it. A change of user or
// group makes the kernel forget what it was asked. The C library has each thread change its own, by a signal
// that ends this poll with EINTR: so it is asked again then.
void wait_for_end(void* argument) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  for (;;) {
    ask_kernel();
    pollfd end{fd, POLLHUP, 0};  // Linux would tell unasked
    if (poll(&end, 1, -1) < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return;
    }
    if (end.revents & POLLHUP) kill(getpid(), SIGKILL);
    if (end.revents & POLLNVAL) return;  // somebody has closed it
  }
}

bool is_pipe(int fd) {
  uv_fs_t request;
  const bool is_known = uv_fs_fstat(nullptr, &request, fd, nullptr) == 0;
  const bool is_fifo = is_known && S_ISFIFO(request.statbuf.st_mode);
  uv_fs_req_cleanup(&request);
  return is_fifo;
}

}  // namespace

Lifeline make_lifeline(Napi::Env env) {
  int ends[2];
#ifdef __linux__
  if (pipe2(ends, O_CLOEXEC) != 0) throw system_error(env, "pipe2", errno);
#else
  if (pipe(ends) != 0) throw system_error(env, "pipe", errno);
  for (const int end : ends) fcntl(end, F_SETFD, FD_CLOEXEC);
#endif
  return {ends[0], ends[1]};
}

void die_with_lifeline(Napi::Env env, int fd) {
  if (!is_pipe(fd)) throw Napi::Error::New(env, "file descriptor " + std::to_string(fd) + " is no lifeline");
  fcntl(fd, F_SETFD, FD_CLOEXEC);  // a process that outlives this one is not to hold it

  uv_thread_options_t options{};
  options.flags = UV_THREAD_HAS_STACK_SIZE;
  options.stack_size = kStackBytes;  // libuv gives more where the system wants more
  // The thread takes none of the signals that the application listens for.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  uv_thread_t thread;  // nobody joins it: it lasts as long as the process
  const int error = uv_thread_create_ex(&thread, &options, wait_for_end,
                                        reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) throw system_error(env, "uv_thread_create_ex", error);
}

void leave_gone_terminal() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (isatty(fd) || errno != EIO) continue;
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0) return;  // no descriptor is left; the next call may find one
    dup2(nothing, fd);
    close(nothing);
  }
}

bool reap(int pid) {
  int status;
  return waitpid(pid, &status, WNOHANG) == pid;
}

}  // namespace ballermann
