// Fuzzes the attaching to a segment: native/segment.cc itself, given files of any size that hold anything.
// Either it refuses, or header and size were right and the whole segment can be used.
#include <fcntl.h>
#include <napi.h>
#include <sys/socket.h>
#include <sys/stat.h>
//
#include "../../native/memory_file.cc"
#include "../../native/ring.hpp"
#include "../../native/segment.cc"
//
#include "bytes.hpp"

namespace ballermann {
namespace {

// A descriptor to attach to: mostly a file of the input's size and content.
int descriptor(Bytes& bytes) {
  const uint8_t kind = bytes.take<uint8_t>();
  if (kind == 1) return -1;
  if (kind == 2) return open("/", O_RDONLY);
  if (kind == 3) return open("/dev/null", O_RDWR);
  if (kind == 4) return socket(AF_UNIX, SOCK_STREAM, 0);
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  must(fd >= 0);
  const uint8_t size_kind = bytes.take<uint8_t>();
  const uint32_t any_size = bytes.take<uint32_t>() % (4 * sizeof(Segment));
  const size_t sizes[] = {sizeof(Segment), sizeof(Segment) - 1, sizeof(Segment) + 1, sizeof(Header), 0,
                          any_size};
  must(ftruncate(fd, static_cast<off_t>(sizes[size_kind % 6])) == 0);
  // A right header first, spoiled afterwards: else the fuzzer would seldom come past the magic number.
  if (kind % 2 == 0) {
    const Header header = this_layout();
    must(pwrite(fd, &header, sizeof header, 0) == sizeof header);
  }
  while (!bytes.empty()) {
    const uint16_t length = bytes.take<uint8_t>();
    const uint32_t at = bytes.take<uint32_t>() % (2 * sizeof(Segment));
    uint8_t content[256];
    bytes.read(content, length);
    const bool in_header = kind % 3 == 0;
    must(pwrite(fd, content, length, static_cast<off_t>(in_header ? at % sizeof(Header) : at)) == length);
  }
  return fd;
}

void use(Segment& segment) {
  Rotation own{};
  own.key = kNoKey;
  for (uint32_t pool = 0; pool < kPoolCount; pool += kPoolCount - 1) {
    claim(segment.rings[pool], 1024, own);
    running_in(segment, pool);
  }
  find_ring(segment, Name{1, {'a'}});
}

}  // namespace
}  // namespace ballermann

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ballermann;
  Bytes bytes(data, size);
  const uint32_t slot =
      bytes.take<uint8_t>() < 250 ? bytes.take<uint16_t>() % kSlotCount : bytes.take<uint32_t>();
  const int fd = descriptor(bytes);
  struct stat file {};
  Header header{};
  const bool is_file = fstat(fd, &file) == 0 && pread(fd, &header, sizeof header, 0) == sizeof header;
  const bool right = is_file && compatible(header) && static_cast<size_t>(file.st_size) >= sizeof(Segment) &&
                     slot < kSlotCount;
  try {
    attach_segment(Napi::Env(), fd, slot);
    must(right);
    reached("attached");
    must(mapping().base != nullptr && mapping().slot == slot && mapping().fd == -1);
    must(fcntl(fd, F_GETFD) == -1);  // closed: no grandchild inherits it
    try {
      attach_segment(Napi::Env(), fd, slot);
      must(false);
    } catch (const Napi::Error&) {
    }
    use(*mapping().base);
    munmap(mapping().base, sizeof(Segment));
  } catch (const Napi::Error&) {
    must(!right);
    must(mapping().base == nullptr);
    if (fd >= 0) close(fd);
  }
  mapped = {};
  backing_store.reset();
  return 0;
}
