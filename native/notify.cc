#include "notify.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace ballermann {
namespace {

// A socket that no process that is started inherits.
int datagram_socket() {
#ifdef SOCK_CLOEXEC
  return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
#else
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
#endif
}

// MSG_NOSIGNAL has no need to be there: only streams raise SIGPIPE.
int send_to(int fd, const std::string& message, const sockaddr_un& address, socklen_t bytes) {
  for (;;) {
    const ssize_t sent = sendto(fd, message.data(), message.size(), MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&address), bytes);
    if (sent >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace

int notify(const std::string& address, const std::string& message) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  // A path has its zero byte; an abstract name is as long as it is, and begins with one.
  if (address.size() >= sizeof to.sun_path) return -ENAMETOOLONG;
  std::memcpy(to.sun_path, address.data(), address.size());
  const bool is_abstract = !address.empty() && address[0] == '@';
  if (is_abstract) to.sun_path[0] = '\0';
  const size_t length = offsetof(sockaddr_un, sun_path) + address.size() + (is_abstract ? 0 : 1);

  const int fd = datagram_socket();
  if (fd < 0) return -errno;
  const int result = send_to(fd, message, to, static_cast<socklen_t>(length));
  close(fd);
  return result;
}

}  // namespace ballermann
