#include "channels.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <list>
#include <string>
#include <utility>

#include "channel_end.hpp"
#include "memory_file.hpp"

namespace ballermann {
namespace {

void set_flags(int fd) {
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// The object that JavaScript has.
class ChannelObject : public Napi::ObjectWrap<ChannelObject> {
 public:
  // new ChannelEnd(isPrimary, memory, ear, bell, take, written, broken)
  explicit ChannelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ChannelObject>(info) {
    const Napi::Env env = info.Env();
    const bool is_primary = info[0].As<Napi::Boolean>().Value();
    const int memory_fd = info[1].As<Napi::Number>().Int32Value();
    const int ear = info[2].As<Napi::Number>().Int32Value();
    const int bell = info[3].As<Napi::Number>().Int32Value();
    void* memory = map(env, memory_fd);
    ::close(memory_fd);  // the mapping keeps the memory
    for (const int fd : {ear, bell}) set_flags(fd);
    end_ = new ChannelEnd(env, static_cast<Channel*>(memory), is_primary, ear, bell,
                          info[4].As<Napi::Function>(), info[5].As<Napi::Function>(),
                          info[6].As<Napi::Function>());
    if (const int error = end_->open(); error != 0) {
      delete std::exchange(end_, nullptr);
      throw Napi::Error::New(env, std::string("the bell of a channel: ") + uv_strerror(error));
    }
  }

  Napi::Value WriteText(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), end_ == nullptr || end_->write_text(info[0].As<Napi::String>()));
  }

  Napi::Value WriteValue(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), end_ == nullptr || end_->write_value(info[0]));
  }

  Napi::Value Flush(const Napi::CallbackInfo& info) {
    const int ms = info[0].As<Napi::Number>().Int32Value();
    return Napi::Boolean::New(info.Env(), end_ == nullptr || end_->flush(ms));
  }

  void Drain(const Napi::CallbackInfo&) {
    if (end_ != nullptr) end_->drain();
  }

  void Resume(const Napi::CallbackInfo&) {
    if (end_ != nullptr) end_->resume();
  }

  void Close(const Napi::CallbackInfo&) {
    if (end_ != nullptr) std::exchange(end_, nullptr)->close();
  }

 private:
  static void* map(Napi::Env env, int fd) {
    if (memory_file_bytes(fd) < sizeof(Channel))
      throw protocol_error(env, "file descriptor " + std::to_string(fd) + " is not a ballermann channel");
    void* memory = map_memory_file(fd, sizeof(Channel));
    if (memory == nullptr) throw system_error(env, "mmap");
    const ChannelHeader header = static_cast<Channel*>(memory)->words.header;
    if (compatible(header)) return memory;
    munmap(memory, sizeof(Channel));
    throw protocol_error(env, "the primary's channel has version " + std::to_string(header.version) +
                                  ", this " + "process needs " + std::to_string(kChannelVersion) +
                                  ": install the same ballermann in both");
  }

  ChannelEnd* end_ = nullptr;
};

Napi::Value TurnClock(const Napi::CallbackInfo& info) { return Turns::of(info.Env()).clock(); }

void CatchUp(const Napi::CallbackInfo&) { Turns::catch_up(); }

struct Pipe {
  int read;
  int write;
};

Pipe make_pipe(Napi::Env env) {
  int ends[2];
  if (pipe(ends) != 0) throw system_error(env, "pipe");
  for (const int end : ends) set_flags(end);
  return {ends[0], ends[1]};
}

int make_memory(Napi::Env env) {
  const int fd = make_memory_file(env, "ballermann.channel", sizeof(Channel));
  void* memory = map_new_memory_file(env, fd, sizeof(ChannelWords));
  static_cast<ChannelWords*>(memory)->header = this_channel();
  munmap(memory, sizeof(ChannelWords));
  return fd;
}

// A bell is a pipe: each side has a description of its end that the other cannot make blocking, as it could
// an eventfd's, which both would share.
Napi::Value MakeChannel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::list<std::pair<const char*, int>> made;
  try {
    made.emplace_back("memory", make_memory(env));
    const Pipe to_primary = make_pipe(env);
    made.emplace_back("ear", to_primary.read);
    made.emplace_back("replicaBell", to_primary.write);
    const Pipe to_replica = make_pipe(env);
    made.emplace_back("replicaEar", to_replica.read);
    made.emplace_back("bell", to_replica.write);
  } catch (...) {
    for (const auto& [name, fd] : made) close(fd);
    throw;
  }
  Napi::Object channel = Napi::Object::New(env);
  for (const auto& [name, fd] : made) channel.Set(name, Napi::Number::New(env, fd));
  return channel;
}

}  // namespace

void define_channels(Napi::Env env, Napi::Object exports) {
  exports.Set("catchUp", Napi::Function::New<CatchUp>(env, "catchUp"));
  exports.Set("turnClock", Napi::Function::New<TurnClock>(env, "turnClock"));
  exports.Set("makeChannel", Napi::Function::New<MakeChannel>(env, "makeChannel"));
  exports.Set("ChannelEnd", ChannelObject::DefineClass(
                                env, "ChannelEnd",
                                {
                                    ChannelObject::InstanceMethod<&ChannelObject::WriteText>("writeText"),
                                    ChannelObject::InstanceMethod<&ChannelObject::WriteValue>("writeValue"),
                                    ChannelObject::InstanceMethod<&ChannelObject::Flush>("flush"),
                                    ChannelObject::InstanceMethod<&ChannelObject::Drain>("drain"),
                                    ChannelObject::InstanceMethod<&ChannelObject::Resume>("resume"),
                                    ChannelObject::InstanceMethod<&ChannelObject::Close>("close"),
                                }));
}

}  // namespace ballermann
