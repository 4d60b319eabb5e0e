#include "memory_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace ballermann {

Napi::Error system_error(Napi::Env env, const char* what) {
  return Napi::Error::New(env, std::string(what) + ": " + std::strerror(errno));
}

Napi::Error protocol_error(Napi::Env env, const std::string& text) {
  Napi::Error error = Napi::Error::New(env, text);
  error.Set("code", Napi::String::New(env, "ERR_PROTOCOL"));
  return error;
}

int make_memory_file(Napi::Env env, [[maybe_unused]] const char* name, size_t bytes) {
#ifdef __linux__
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw system_error(env, "memfd_create");
#else
  const std::string path = "/ballermann." + std::to_string(getpid());
  const int fd = shm_open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0) throw system_error(env, "shm_open");  // it is close-on-exec by itself
  if (shm_unlink(path.c_str()) != 0) {
    const Napi::Error error = system_error(env, "shm_unlink");
    close(fd);
    throw error;
  }
#endif
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    const Napi::Error error = system_error(env, "ftruncate");
    close(fd);
    throw error;
  }
#ifdef __linux__
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const Napi::Error error = system_error(env, "fcntl(F_ADD_SEALS)");
    close(fd);
    throw error;
  }
#endif
  return fd;
}

size_t memory_file_bytes(int fd) {
  const off_t end = lseek(fd, 0, SEEK_END);  // nobody reads the file by its offset
  return end > 0 ? static_cast<size_t>(end) : 0;
}

void* map_new_memory_file(Napi::Env env, int fd, size_t bytes) {
  void* memory = map_memory_file(fd, bytes);
  if (memory != nullptr) return memory;
  const Napi::Error error = system_error(env, "mmap");
  close(fd);
  throw error;
}

void* map_memory_file(int fd, size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace ballermann
