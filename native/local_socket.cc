#include "local_socket.hpp"

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>

#include "system_error.hpp"

namespace ballermann {

bool lock_file(Napi::Env env, int fd) {
  int result;
  do result = flock(fd, LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR);
  if (result == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  throw system_error(env, "flock", errno);
}

uint32_t peer_user(Napi::Env env, int fd) {
#ifdef __linux__
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    throw system_error(env, "getsockopt", errno);
  return peer.uid;
#else
  uid_t user;
  gid_t group;
  if (getpeereid(fd, &user, &group) != 0) throw system_error(env, "getpeereid", errno);
  return user;
#endif
}

}  // namespace ballermann
